/* cli/chart.h: a line chart over epochs as inline SVG, its colours taken from the page's CSS variables. */
#ifndef CLI_CHART_H
#define CLI_CHART_H

#include <stdio.h>

#include "cli/text.h"

typedef struct cli_series {
    const char *label;
    const char *style;    /* a class of the page's style sheet: "train", "val" */
    const double *values; /* one an epoch, NaN where there is none */
} cli_series;

typedef struct cli_chart {
    const char *title;
    const cli_series *series;
    size_t series_count, count; /* epochs */
    bool share;                 /* values are shares, 0 .. 1: shown in percent */
    int best;                   /* an epoch, from 0, that gets a mark; -1: none */
} cli_chart;

void cli_chart_write(FILE *out, const cli_chart *chart);

/* Text with &, <, > and quotes made harmless; what is not UTF-8 becomes U+FFFD. */
void cli_html_text(FILE *out, const char *text);

#endif
