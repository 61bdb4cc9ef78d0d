#include "cli/chart.h"

#include <math.h>
#include <string.h>

#define WIDTH 560.0
#define HEIGHT 260.0
#define LEFT 52.0
#define RIGHT 16.0
#define TOP 14.0
#define BOTTOM 34.0

void cli_html_text(FILE *out, const char *text)
{
    size_t left = strlen(text);
    while (left > 0) {
        size_t good = cli_utf8_length(text, left);
        for (size_t i = 0; i < good; i++)
            switch (text[i]) {
            case '&': fputs("&amp;", out); break;
            case '<': fputs("&lt;", out); break;
            case '>': fputs("&gt;", out); break;
            case '"': fputs("&quot;", out); break;
            case '\'': fputs("&#39;", out); break;
            default: fputc(text[i], out);
            }
        text += good;
        left -= good;
        if (left > 0) {
            fputs("\xef\xbf\xbd", out);
            text++;
            left--;
        }
    }
}

/* The distance between ticks: 1, 2 or 5 times a power of ten, so that there are at most `most` of them. */
static double tick_step(double span, int most)
{
    double step = pow(10, floor(log10(span / most)));
    if (span / step > 5 * most)
        return 10 * step;
    if (span / step > 2 * most)
        return 5 * step;
    return span / step > most ? 2 * step : step;
}

typedef struct frame {
    double low, high, step;
    size_t count;
} frame;

static double x_of(const frame *f, double epoch)
{
    return f->count > 1 ? LEFT + epoch / (double)(f->count - 1) * (WIDTH - LEFT - RIGHT) : (LEFT + WIDTH - RIGHT) / 2;
}

static double y_of(const frame *f, double value)
{
    return TOP + (f->high - value) / (f->high - f->low) * (HEIGHT - TOP - BOTTOM);
}

static frame measure(const cli_chart *chart)
{
    frame f = {.low = INFINITY, .high = -INFINITY, .count = chart->count};
    for (size_t s = 0; s < chart->series_count; s++)
        for (size_t i = 0; i < chart->count; i++) {
            double v = chart->series[s].values[i];
            if (!isfinite(v))
                continue;
            f.low = v < f.low ? v : f.low;
            f.high = v > f.high ? v : f.high;
        }
    if (f.low > f.high)
        f.low = 0, f.high = 1;
    if (f.high - f.low < 1e-9 * (1 + fabs(f.high))) {
        double around = 0.05 * (1 + fabs(f.high));
        f.low -= around;
        f.high += around;
    }
    if (!chart->share && f.low > 0 && f.low < 0.6 * f.high)
        f.low = 0;
    f.step = tick_step(f.high - f.low, 5);
    f.low = floor(f.low / f.step + 1e-9) * f.step;
    f.high = ceil(f.high / f.step - 1e-9) * f.step;
    if (chart->share) {
        f.low = f.low < 0 ? 0 : f.low;
        f.high = f.high > 1 ? 1 : f.high;
    }
    return f;
}

static void put_value(FILE *out, const cli_chart *chart, const frame *f, double value)
{
    int digits = (int)ceil(-log10(f->step) - 1e-9);
    if (chart->share)
        fprintf(out, "%.*f %%", digits > 2 ? digits - 2 : 0, value * 100);
    else
        fprintf(out, "%.*f", digits > 0 ? digits : 0, value);
}

static void write_axes(FILE *out, const cli_chart *chart, const frame *f)
{
    for (double v = f->low; v <= f->high + 1e-9 * f->step; v += f->step) {
        double y = y_of(f, v);
        fprintf(out, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT, WIDTH - RIGHT, y, y);
        fprintf(out, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">", LEFT - 8, y + 4);
        put_value(out, chart, f, fabs(v) < 1e-9 * f->step ? 0 : v);
        fputs("</text>\n", out);
    }
    size_t every = f->count > 1 ? (size_t)ceil(tick_step((double)(f->count - 1), 10)) : 1;
    every = every ? every : 1;
    for (size_t i = 0; i < f->count; i++) {
        if (f->count > 10 ? (i + 1) % every : 0)
            continue;
        fprintf(out, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%zu</text>\n", x_of(f, (double)i),
                HEIGHT - BOTTOM + 18, i + 1);
    }
    fprintf(out, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">epoch</text>\n", WIDTH - RIGHT, HEIGHT - 3);
}

static void write_series(FILE *out, const cli_chart *chart, const frame *f, const cli_series *s)
{
    fprintf(out, "<polyline class=\"line %s\" points=\"", s->style);
    for (size_t i = 0; i < f->count; i++)
        if (isfinite(s->values[i]))
            fprintf(out, "%.1f,%.1f ", x_of(f, (double)i), y_of(f, s->values[i]));
    fputs("\"/>\n", out);
    for (size_t i = 0; i < f->count; i++) {
        if (!isfinite(s->values[i]))
            continue;
        double radius = (int)i == chart->best ? 4 : f->count > 40 ? 1.5 : 2.5;
        fprintf(out, "<circle class=\"dot %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"><title>epoch %zu, %s: ", s->style,
                x_of(f, (double)i), y_of(f, s->values[i]), radius, i + 1, s->label);
        fprintf(out, chart->share ? "%.2f %%" : "%.4f", chart->share ? s->values[i] * 100 : s->values[i]);
        fputs("</title></circle>\n", out);
    }
}

void cli_chart_write(FILE *out, const cli_chart *chart)
{
    frame f = measure(chart);
    fputs("<figure><figcaption>", out);
    cli_html_text(out, chart->title);
    for (size_t s = 0; s < chart->series_count; s++)
        fprintf(out, "<span class=\"key %s\">%s</span>", chart->series[s].style, chart->series[s].label);
    fprintf(out, "</figcaption>\n<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\">\n", WIDTH, HEIGHT);
    write_axes(out, chart, &f);
    if (chart->best >= 0)
        fprintf(out, "<line class=\"best\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"><title>best epoch %d</title></line>\n",
                x_of(&f, chart->best), x_of(&f, chart->best), TOP, HEIGHT - BOTTOM, chart->best + 1);
    for (size_t s = 0; s < chart->series_count; s++)
        write_series(out, chart, &f, &chart->series[s]);
    fputs("</svg></figure>\n", out);
}
