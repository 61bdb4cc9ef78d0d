# tests/models
