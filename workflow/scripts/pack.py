"""Pack a model, all its trainings or one of them, into one file that segments new patients; and its card beside it."""

from pathlib import Path

from organbench.core import files, jobs
from organbench.inference import models
from organbench.inference.settings import Prediction
from organbench.reporting import model_card
from organbench.study import packing

with jobs.job_log(snakemake.log[0]) as logger:
    given, params = snakemake.input, snakemake.params
    contents = packing.contents(
        [packing.Training(*training) for training in params.trainings],
        packing.read_infos(given.cases, list(params.organs)),
        name=params.model,
        study=params.study,
        organs=params.organs,
        spacing=params.spacing,
        prediction=Prediction(**files.tuples(params.prediction)),
    )
    scores = model_card.of_model(Path(given.summary).read_text(), params.model)
    card = model_card.text(
        contents.model, contents.annotated, scores, trainings=params.folds_and_seeds, ensemble=params.ensemble
    )
    texts = {
        models.CARD: card,
        models.METHODS: Path(given.methods).read_text(),
        models.SCORES: model_card.as_csv(scores),
    }
    models.write(snakemake.output.model, contents.model, contents.states, texts, contents.sources)
    with files.atomic(snakemake.output.card) as path:
        path.write_text(card)
    logger.info("packed %d trainings of %s", len(contents.states), params.model)
