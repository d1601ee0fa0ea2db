#!/bin/sh
# Say whether a job is running, success or failed.
# PBS Pro: state=$(qstat -xf "$1" | sed -n 's/^ *job_state = //p')$(qstat -xf "$1" | sed -n 's/^ *Exit_status = //p')
#          and F0 is success, other F* failed.
answer=$(scontrol --oneliner show job "$1" 2>&1)
state=$(echo "$answer" | sed -n 's/.* JobState=\([A-Z_]*\).*/\1/p')
case "$state: $answer" in
  COMPLETED:*) echo success ;;
  PENDING:* | CONFIGURING:* | RUNNING:* | COMPLETING:* | SUSPENDED:* | REQUEUED:*) echo running ;;
  *"Invalid job id"*) echo failed ;;
  # The controller is busy or restarts: a job that is taken for failed would be started a second time.
  *"slurm_load_jobs error"*) echo running ;;
  *) echo failed ;;
esac
