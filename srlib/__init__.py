r"""Face super-resolution with GANs: the small package behind the notebooks.

Import the module you need: `from srlib import data, models`. To read it, begin with data, models, losses, training and
metrics: the lesson. The other modules serve them. Imports go one way: commands, exercises and widgets may use
everything; then recipes, training, callbacks, checkpoints and inference, pretrained, models and metrics and judges and
plotting, losses, vgg and datasets, photos, data, backend, runtime, each only what stands behind it (test_house).

To change something, edit one place and run its test:

- a loss of pixels: losses.py, LOSSES in recipes.py; another term: losses.py, GANTrainer, and its weight in recipes.py;
  `pytest tests/test_losses.py tests/test_training.py tests/test_recipes.py`
- a network: models.py, GENERATORS or recipes.DISCRIMINATORS, RECIPES; `pytest tests/test_models.py` and test_recipes
- how a network is trained: RECIPES in recipes.py; `pytest tests/test_recipes.py`, then `srlib train NAME --ship`,
  `srlib evaluate --folder srlib/weights`, tests/portraits.csv and the tables of the model card
- a metric: metrics.py, and METRICS in commands/evaluate.py; `pytest tests/test_metrics.py`, then `srlib evaluate`
- an exercise: its cells in the chapter, exercises/cNN.py, its answers in tests/exercises; `pytest tests/exercises`
- a data source: datasets.py; `pytest tests/test_datasets.py`
- a command: a module in commands/ with OPTIONS and `main`, its line in `COMMANDS` there; `pytest tests/commands`
- a figure: plotting.py or widgets.py; `pytest tests/test_plotting.py`

The repository's address is a placeholder that nobody can register, until there is one. To set it everywhere:

    git grep -lE "(github|colab|kaggle)[.]invalid" | xargs sed -i -e "s#github[.]invalid#github.com#g" \
        -e "s#colab[.]invalid#colab.research.google.com#g" -e "s#kaggle[.]invalid#kaggle.com#g" \
        -e "s#learn-face-sr/learn-face-sr#OWNER/NAME#g"

A chapter's cell tagged `taught` holds code that stands here, too: change both, `tests/test_notebooks.py` compares them.
"""

__version__ = "0.1.0"
FORMER = {"checks": "exercises", "distributed": "commands.distribute", "export": "commands.export"}


def __getattr__(name):
    if name in FORMER:
        raise ImportError(f"srlib.{name} is srlib.{FORMER[name]} now")
    raise AttributeError(f"module 'srlib' has no attribute {name!r}")
