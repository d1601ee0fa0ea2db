"""The library that the workflow's scripts share. It knows nothing of Snakemake.

Rooms, lowest first; a room imports only from rooms above it in this list:

| room | what it knows |
|---|---|
| `errors` | the exceptions that a job ends with in one line |
| `files` | files that are whole or absent |
| `tables` | reading a study's tables: names stay names, also where they are digits |
| `protocol` | what was fixed before results were seen |
| `orphans` | jobs end with the workflow that started them |
| `jobs` | a job's log, its pace, and its end |
| `failures` | what to do about the jobs that failed |
| `headers` | what the header of a volume's file claims, and whether that can be |
| `volumes` | reading, checking, orienting, resampling and writing CT volumes and label maps |
| `downloads` | a file over HTTP: politely, and going on where it broke off |
| `openkbp` | the patients of the OpenKBP challenge, and fetching them |
| `cases` | the prepared case on disk: memory-mapped arrays and their geometry |
| `phantoms` | procedural CT-ORG-like patients |
| `splits` | who trains, who validates, who tests |
| `groups` | which group (centre, scanner, ...) each case belongs to |
| `overlaps` | voxel counts of one case, and what follows from them |
| `surfaces` | distances between surfaces, and contours |
| `metrics` | all metrics of one case |
| `sampling` | the training batch as a pure function of (seed, step) |
| `claims` | which of a machine's GPUs a job has to itself |
| `energy` | the energy that a GPU and the processors use |
| `augmentation` | random spatial and intensity changes of a batch |
| `networks` | the contenders, their blocks, and the function that builds one from config |
| `devices` | the device of a job, its precision, and what makes it repeatable |
| `losses` | Dice, cross-entropy, their sum, the original project's Dice |
| `inference` | whole-volume prediction in bounded memory, back on the original grid |
| `processes` | one training on several devices |
| `rehearsal` | whether a training step works, and what it needs, before hours are spent on one |
| `tuned` | what tuning hands on to a training: the chosen settings, and what was trained with them |
| `training` | the loop, checkpoint and resume, learning-rate schedule, cost accounting |
| `resources` | the memory and time that jobs ask a scheduler for |
| `tuning` | which settings are tuned, the same candidates for every network |
| `study` | the study's configuration: merge, check, defaults |
| `choosing` | which of the tuned candidates each network takes, by its validation cases |
| `statistics` | summaries with intervals, contenders side by side on the same cases |
| `trainings` | what every single training scores on the same organs of the same patients |
| `evidence` | what patients and trainings say of a difference: variance, tests, intervals |
| `planning` | how many more patients or trainings would decide |
| `verdicts` | the verdict on every pair and organ, by one rule |
| `ranks` | average ranks of three or more models |
| `comparing` | per-case tables from anywhere, made ready to be judged |
| `convergence` | whether the validation Dice still rose when training ended |
| `rank_stability` | whether the ranking would be the same with other patients and trainings |
| `group_differences` | what contenders score in each group, and whether their difference is another there |
| `failure_rates` | on how many patients contenders fail, and whether on more than others |
| `conventions` | what the same predictions score under rules that others use |
| `learning_curve` | whether more patients would help |
| `caveats` | what to look at before the tables are believed |
| `colours` | the colours of contenders and organs |
| `costs` | accuracy against cost, and which contender to take with less to spend |
| `cohort` | which cases to look at, how volumes agree, how scans were made |
| `figures` | every plot, from tables only |
| `methods_analyses` | of the methods in words, what is said of rankings, failures and groups |
| `wording` | numbers, names and lists as a person says them |
| `methods_of_tuning` | how settings were tuned, in the words of a paper |
| `methods_statistics` | of the methods in words, what is said of tests and verdicts |
| `methods` | the methods of a study in the words of a paper |
| `pages` | tables that can be sorted, for the report |
| `viewer` | what the page for looking at cases shows |
| `cli` | the command line |

Torch is imported only by the rooms from `augmentation` to `training`; conversion, metrics and figures start without it.
"""
