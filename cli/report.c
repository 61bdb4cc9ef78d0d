/* report.html: one file with everything in it, for a person. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/chart.h"
#include "cli/files.h"
#include "cli/run.h"
#include "cli/score.h"

static const char style[] =
    ":root{--paper:#fff;--ink:#1b2430;--soft:#5d6b7c;--line:#dfe4ea;--panel:#f6f8fa;--train:#2f6fbb;--val:#c8541b;"
    "--heat:47,111,187;--good:#1d7a46;--bad:#b3261e}\n"
    "@media(prefers-color-scheme:dark){:root{--paper:#14181d;--ink:#e4e9ef;--soft:#98a5b3;--line:#2c343d;--panel:#1b2127;"
    "--train:#6aa5ea;--val:#f0915c;--heat:106,165,234;--good:#5cc98b;--bad:#f2857d}}\n"
    "*{box-sizing:border-box}body{margin:0 auto;max-width:1180px;padding:32px 28px 64px;background:var(--paper);"
    "color:var(--ink);font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}\n"
    "h1{font-size:26px;margin:0}h2{font-size:17px;margin:36px 0 12px}.sub{color:var(--soft);margin:2px 0 22px}\n"
    ".cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px}"
    ".card{background:var(--panel);border:1px solid var(--line);border-radius:8px;padding:12px 14px}"
    ".card b{display:block;font-size:22px;font-weight:600;font-variant-numeric:tabular-nums}.card span{color:var(--soft);"
    "font-size:13px}\n"
    ".pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(420px,1fr));gap:16px}@media(max-width:520px){.pair{"
    "grid-template-columns:1fr}}figure{margin:0;background:var(--panel);border:1px solid var(--line);border-radius:8px;"
    "padding:12px 14px}figcaption{font-weight:600;margin-bottom:6px}svg{width:100%;height:auto;display:block}"
    "img{max-width:100%}.swatch{display:inline-block;margin-right:18px;color:var(--soft);font-size:13px}"
    ".swatch i{display:inline-block;width:12px;height:12px;border:1px solid var(--line);border-radius:2px;margin-right:6px;vertical-align:-1px}\n"
    ".grid{stroke:var(--line)}.tick{fill:var(--soft);font-size:12px}.best{stroke:var(--soft);stroke-dasharray:3 4}"
    ".line{fill:none;stroke-width:2;stroke-linejoin:round}.line.train{stroke:var(--train)}.line.val{stroke:var(--val)}"
    ".dot.train{fill:var(--train)}.dot.val{fill:var(--val)}\n"
    ".key{font-weight:400;font-size:13px;color:var(--soft);margin-left:14px}.key:before{content:'';display:inline-block;"
    "width:14px;height:3px;border-radius:2px;margin-right:6px;vertical-align:middle}.key.train:before{background:"
    "var(--train)}.key.val:before{background:var(--val)}\n"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}th,td{padding:5px 12px;"
    "text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}th{color:var(--soft);font-weight:500;"
    "font-size:13px}th:first-child,td:first-child,.left{text-align:left}tr.top td{font-weight:600;background:"
    "rgba(var(--heat),.10)}.matrix td{text-align:center;border:1px solid var(--line);min-width:54px}.matrix th{border:0}\n"
    "pre{background:var(--panel);border:1px solid var(--line);border-radius:8px;padding:14px;overflow-x:auto;font:13px/1.5 "
    "ui-monospace,SFMono-Regular,Menlo,monospace}.ok{color:var(--good)}.no{color:var(--bad)}footer{margin-top:40px;"
    "color:var(--soft);font-size:13px}\n";

static void card(FILE *out, const char *label, const char *value)
{
    fputs("<div class=\"card\"><b>", out);
    cli_html_text(out, value);
    fputs("</b><span>", out);
    cli_html_text(out, label);
    fputs("</span></div>\n", out);
}

static void card_share(FILE *out, const char *label, double share)
{
    char text[32];
    snprintf(text, sizeof(text), "%.1f %%", share * 100);
    card(out, label, text);
}

static void card_loss(FILE *out, const char *label, double loss)
{
    char text[32];
    snprintf(text, sizeof(text), "%.4f", loss);
    card(out, label, text);
}

static const char *duration(double seconds, char *text, size_t size)
{
    if (seconds < 60)
        snprintf(text, size, "%.2f s", seconds);
    else if (seconds < 3600)
        snprintf(text, size, "%d min %02d s", (int)seconds / 60, (int)seconds % 60);
    else
        snprintf(text, size, "%d h %02d min", (int)(seconds / 3600), (int)(seconds / 60) % 60);
    return text;
}

static void write_head(FILE *out, const cli_run *run)
{
    const cli_config *config = run->config;
    char text[64];
    bool judged = run->val != NULL;
    const bool pixels = cli_config_segments(config);
    fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>", out);
    cli_html_text(out, config->name);
    fprintf(out, " · tl</title>\n<style>\n%s</style></head><body>\n<h1>", style);
    cli_html_text(out, config->name);
    fprintf(out, "</h1>\n<p class=\"sub\">%s from ", config->arch);
    cli_html_text(out, !strcmp(config->weights, "random") ? "random weights" : config->weights);
    fprintf(out, " · %s training images in %zu classes", cli_grouped((int64_t)tl_dataset_size(run->train)), run->class_count);
    if (judged)
        fprintf(out, " · %s for validation", cli_grouped((int64_t)tl_dataset_size(run->val)));
    fputs(" · ", out);
    cli_html_text(out, run->device);
    if (strcmp(run->status, "done"))
        fprintf(out, " · <span class=\"no\">%s</span>", run->status);
    fputs("</p>\n<div class=\"cards\">\n", out);
    if (run->best >= 0) {
        const cli_epoch *best = &run->epochs[run->best];
        if (judged) {
            if (pixels)
                card_share(out, "mean IoU on validation, best epoch", best->val.mean_iou);
            card_share(out, pixels ? "pixels right on validation, best epoch" : "accuracy on validation, best epoch", best->val.accuracy);
            card_loss(out, "loss on validation, best epoch", best->val.loss);
        } else {
            card_share(out, pixels ? "pixels right on training images, best epoch" : "accuracy on training images, best epoch", best->train.accuracy);
        }
        snprintf(text, sizeof(text), "%d of %zu", best->number, run->epoch_count);
        card(out, "best epoch", text);
        card_loss(out, "training loss, last epoch", run->epochs[run->epoch_count - 1].train.loss);
    }
    card(out, "time in all", duration(run->seconds, text, sizeof(text)));
    fputs("</div>\n", out);
}

static void write_curves(FILE *out, const cli_run *run)
{
    size_t n = run->epoch_count;
    double *values = cli_alloc(5 * n * sizeof(*values));
    for (size_t i = 0; i < n; i++) {
        const cli_epoch *e = &run->epochs[i];
        values[i] = e->train.loss;
        values[n + i] = e->val.images ? e->val.loss : NAN;
        values[2 * n + i] = e->train.accuracy;
        values[3 * n + i] = e->val.images ? e->val.accuracy : NAN;
        values[4 * n + i] = e->val.images ? e->val.mean_iou : NAN;
    }
    size_t lines = run->val ? 2 : 1;
    cli_series loss[2] = {{"training", "train", values}, {"validation", "val", values + n}};
    cli_series accuracy[2] = {{"training", "train", values + 2 * n}, {"validation", "val", values + 3 * n}};
    cli_series iou = {"validation", "val", values + 4 * n};
    const bool pixels = cli_config_segments(run->config);
    cli_chart chart = {.title = "Loss", .series = loss, .series_count = lines, .count = n, .best = run->best};
    fputs("<h2>Curves</h2>\n<div class=\"pair\">\n", out);
    cli_chart_write(out, &chart);
    chart.title = pixels ? "Pixels that are right" : "Accuracy";
    chart.series = accuracy;
    chart.share = true;
    cli_chart_write(out, &chart);
    if (pixels && run->val) {
        chart.title = "Mean IoU";
        chart.series = &iou;
        chart.series_count = 1;
        cli_chart_write(out, &chart);
    }
    fputs("</div>\n", out);
    free(values);
}

static void cell_share(FILE *out, double share)
{
    if (isnan(share))
        fputs("<td>–</td>", out);
    else
        fprintf(out, "<td>%.1f %%</td>", share * 100);
}

static void write_classes(FILE *out, const cli_run *run)
{
    size_t n = run->class_count;
    const bool pixels = cli_config_segments(run->config);
    fprintf(out, "<h2>Validation set at epoch %d</h2>\n<div class=\"pair\">\n<div class=\"scroll\"><table><tr><th>class</th>"
                 "<th>%s</th><th>precision</th><th>recall</th><th>%s</th></tr>\n", run->epochs[run->best].number,
            pixels ? "pixels</th><th>IoU" : "images", pixels ? "Dice" : "F1");
    for (size_t i = 0; i < n; i++) {
        tl_class_score s = cli_score_class(run->confusion, n, i);
        fputs("<tr><td>", out);
        cli_html_text(out, run->class_names[i]);
        fprintf(out, "</td><td>%s</td>", cli_grouped(s.truth));
        if (pixels)
            cell_share(out, s.iou);
        cell_share(out, s.precision);
        cell_share(out, s.recall);
        cell_share(out, s.dice);
        fputs("</tr>\n", out);
    }
    fputs("</table></div>\n<div class=\"scroll\"><table class=\"matrix\"><tr><th>truth \\ predicted</th>", out);
    for (size_t j = 0; j < n; j++) {
        fputs("<th>", out);
        cli_html_text(out, run->class_names[j]);
        fputs("</th>", out);
    }
    fputs("</tr>\n", out);
    for (size_t i = 0; i < n; i++) {
        int64_t truth = cli_score_class(run->confusion, n, i).truth;
        fputs("<tr><th>", out);
        cli_html_text(out, run->class_names[i]);
        fputs("</th>", out);
        for (size_t j = 0; j < n; j++) {
            int64_t count = run->confusion[i * n + j];
            double share = truth ? (double)count / (double)truth : 0;
            fprintf(out, "<td style=\"background:rgba(var(--heat),%.2f)\">", 0.75 * share);
            if (pixels) /* whose counts say little */
                fprintf(out, "%.1f %%</td>", 100 * share);
            else
                fprintf(out, "%lld</td>", (long long)count);
        }
        fputs("</tr>\n", out);
    }
    fputs("</table></div>\n</div>\n", out);
}

static void write_epochs(FILE *out, const cli_run *run)
{
    const bool pixels = cli_config_segments(run->config);
    fputs("<h2>Epochs</h2>\n<div class=\"scroll\"><table><tr><th>epoch</th><th class=\"left\">stage</th><th>learning rate</th>"
          "<th>training loss</th><th>training accuracy</th>", out);
    if (run->val)
        fprintf(out, "<th>validation loss</th>%s<th>validation accuracy</th>", pixels ? "<th>mean IoU</th>" : "");
    fputs("<th>seconds</th></tr>\n", out);
    for (size_t i = 0; i < run->epoch_count; i++) {
        const cli_epoch *e = &run->epochs[i];
        fprintf(out, "<tr%s><td>%d</td><td class=\"left\">", (int)i == run->best ? " class=\"top\"" : "", e->number);
        cli_html_text(out, e->stage);
        fprintf(out, "</td><td>%.6g</td><td>%.4f</td>", e->lr, e->train.loss);
        cell_share(out, e->train.accuracy);
        if (run->val) {
            fprintf(out, "<td>%.4f</td>", e->val.loss);
            if (pixels)
                cell_share(out, e->val.mean_iou);
            cell_share(out, e->val.accuracy);
        }
        fprintf(out, "<td>%.2f</td></tr>\n", e->seconds);
    }
    fputs("</table></div>\n", out);
}

static void write_facts(FILE *out, const cli_run *run)
{
    char text[64];
    double epochs = 0;
    fputs("<h2>What trained, and how long it took</h2>\n<div class=\"scroll\"><table><tr><th>stage</th><th>trained parameters</th>"
          "<th>of</th><th class=\"left\">patterns</th><th class=\"left\">features</th></tr>\n", out);
    for (size_t i = 0; i < run->stage_count; i++) {
        const cli_stage_line *s = &run->stages[i];
        fputs("<tr><td>", out);
        cli_html_text(out, s->name);
        fprintf(out, "</td><td>%s</td><td>%s</td><td class=\"left\">", cli_grouped(s->trainable), cli_grouped(s->parameters));
        cli_html_text(out, s->patterns);
        fputs("</td><td class=\"left\">", out);
        fputs(s->cached ? "computed once, up to " : "computed every step: ", out);
        cli_html_text(out, s->cache);
        if (s->feature_images_found > 0)
            fprintf(out, ", %s of %s found in the cache", cli_grouped(s->feature_images_found), cli_grouped(s->feature_images));
        fputs("</td></tr>\n", out);
    }
    fputs("</table></div>\n<p>", out);
    if (run->feature_images > 0 && run->feature_seconds > 0)
        fprintf(out, "Features of the frozen part: %s images in %s, %.1f a second. ", cli_grouped(run->feature_images),
                duration(run->feature_seconds, text, sizeof(text)), (double)run->feature_images / run->feature_seconds);
    for (size_t i = 0; i < run->epoch_count; i++)
        epochs += run->epochs[i].seconds;
    fprintf(out, "%zu epochs in %s. ", run->epoch_count, duration(epochs, text, sizeof(text)));
    fprintf(out, "In all %s.</p>\n", duration(run->seconds, text, sizeof(text)));
    if (run->result && run->result->frozen_tensors > 0)
        fprintf(out, "<p><span class=\"ok\">✓</span> Frozen parameters and buffers unchanged: %zu tensors, hash <code>%s</code> "
                     "before and after.</p>\n", run->result->frozen_tensors, run->result->frozen_hash);
}

/* ---- predictions ---- */

static void write_base64(FILE *out, FILE *in)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char three[3];
    for (size_t count; (count = fread(three, 1, sizeof(three), in)) > 0;) {
        unsigned long bits = 0;
        for (size_t i = 0; i < 3; i++)
            bits = bits << 8 | (i < count ? three[i] : 0);
        for (size_t i = 0; i < 4; i++)
            fputc(i <= count ? digits[bits >> (18 - 6 * i) & 63] : '=', out);
    }
}

static void legend(FILE *out, const char *name, int index)
{
    uint8_t rgb[3];
    tl_class_colour(index, rgb);
    fprintf(out, "<span class=\"swatch\"><i style=\"background:#%02x%02x%02x\"></i>", rgb[0], rgb[1], rgb[2]);
    cli_html_text(out, name);
    fputs("</span>\n", out);
}

/* The sheet itself is in the report, which so stays one file. */
static void write_predictions(FILE *out, const cli_run *run)
{
    char *path = cli_run_path(run, CLI_RUN_SHEET);
    FILE *sheet = fopen(path, "rbe");
    free(path);
    if (!sheet)
        return;
    const cli_epoch *best = &run->epochs[run->best];
    fprintf(out, "<h2>Predictions at epoch %d</h2>\n<figure><figcaption>Image, truth, prediction · mean IoU on all of "
                 "validation %.1f %%</figcaption>\n<img alt=\"images, their masks and what the model makes of them\" "
                 "src=\"data:image/png;base64,", best->number, 100 * best->val.mean_iou);
    write_base64(out, sheet);
    fclose(sheet);
    fputs("\">\n<p>", out);
    for (size_t i = 0; i < run->class_count; i++)
        legend(out, run->class_names[i], (int)i);
    legend(out, "not counted", TL_IGNORED);
    fputs("</p></figure>\n", out);
}

bool cli_report_write(const cli_run *run, const char *path)
{
    cli_file file;
    if (!cli_file_create(&file, path))
        return false;
    write_head(file.stream, run);
    if (run->epoch_count > 0)
        write_curves(file.stream, run);
    if (run->confusion && run->best >= 0)
        write_classes(file.stream, run);
    if (run->drawn)
        write_predictions(file.stream, run);
    if (run->epoch_count > 0)
        write_epochs(file.stream, run);
    write_facts(file.stream, run);
    char *text = cli_config_resolved(run->config);
    fputs("<h2>Configuration</h2>\n<pre>", file.stream);
    cli_html_text(file.stream, text);
    free(text);
    fprintf(file.stream, "</pre>\n<footer>Written by tl %s.</footer>\n</body></html>\n", tl_version());
    return cli_file_commit(&file);
}
