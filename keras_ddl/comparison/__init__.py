"""The paper's comparison on anyone's data: a matrix of trainings, its table and its picture."""
