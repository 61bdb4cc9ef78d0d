# backends/cpu
