#!/bin/sh
# Say whether a job is running, success or failed.
# PBS Pro: state=$(qstat -xf "$1" | sed -n 's/^ *job_state = //p')$(qstat -xf "$1" | sed -n 's/^ *Exit_status = //p')
#          and F0 is success, other F* failed.
state=$(scontrol --oneliner show job "$1" | sed -n 's/.* JobState=\([A-Z_]*\).*/\1/p')
case "$state" in
  COMPLETED) echo success ;;
  PENDING | CONFIGURING | RUNNING | COMPLETING | SUSPENDED | REQUEUED) echo running ;;
  *) echo failed ;;
esac
