"""A convolutional net where scikit-learn expects a classifier."""

from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

import striate

X, y = load_digits(return_X_y=True)
nets = ["conv3-16 relu maxpool2 fc-10", "conv3-16 bn relu conv3-32 bn relu maxpool2 fc-10"]
search = GridSearchCV(striate.ImageClassifier(epochs=4), {"net": nets}, cv=2)
search.fit(X[:1200], y[:1200])
print(search.best_params_, f"{search.score(X[1200:], y[1200:]):.1%}")
