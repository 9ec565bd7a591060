"""Which strength, with a few labels and scikit-learn's grid search?

Without labels `make("auto")` chooses; with some, strength is a parameter like any other. The labels
serve for scoring only: the statistics come from the unlabelled rows of each fold.

Needs: pip install 'distnorm[scikit-learn]'
Run: python examples/which_strength.py
"""

from __future__ import annotations

import numpy as np
from make_vectors import synthetic_pairs
from sklearn.model_selection import GridSearchCV, train_test_split

from distnorm.integrations.scikit_learn import ZeroShotClasses

classes = synthetic_pairs(40)[1]  # 40 class texts
rng = np.random.default_rng(1)
labels = rng.integers(len(classes), size=1200)
pull = 0.8 * classes.mean(axis=0) + 0.6 * classes[3]  # a gap, and a class that draws all to it
pictures = classes[labels] + pull + 0.12 * rng.standard_normal((len(labels), classes.shape[1]))
pictures = (pictures / np.linalg.norm(pictures, axis=1, keepdims=True)).astype(np.float32)
few, rest, labels_of_few, labels_of_rest = train_test_split(
    pictures, labels, train_size=300, random_state=0
)

search = GridSearchCV(
    ZeroShotClasses(classes), {"method": ["dn", "dn2"], "strength": [0.0, 0.25, 0.5, 1.0]}, cv=3
)
search.fit(few, labels_of_few)
dot = np.mean(np.argmax(rest @ classes.T, axis=1) == labels_of_rest)
print(f"chosen on {len(few)} labelled pictures (synthetic): {search.best_params_}")
print(f"accuracy on the {len(rest)} others: dot {dot:.1%}", end=", ")
print(f"chosen {search.score(rest, labels_of_rest):.1%}")
