/* Patterns over parameter names. */
#include "tests/models/support.h"

static void test_patterns(void **state) {
    (void)state;
    static const struct {
        const char *patterns, *name;
        bool match;
    } cases[] = {
        {"fc.*", "fc.weight", true},
        {"fc.*", "fcn.weight", false},
        {"fc", "fc.weight", false},
        {"*", "anything at all", true},
        {"*", "", true},
        {"", "", false},
        {"", "fc.weight", false},
        {" , ,", "fc.weight", false},
        {"layer4.*, fc.*", "fc.bias", true},
        {"layer4.*,fc.*", "layer4.0.conv1.weight", true},
        {"layer4.* fc.*", "layer3.0.conv1.weight", false},
        {"layer?.0.bn1.weight", "layer2.0.bn1.weight", true},
        {"layer?.0.bn1.weight", "layer.0.bn1.weight", false},
        {"layer[34].*", "layer3.0.conv1.weight", true},
        {"layer[34].*", "layer2.0.conv1.weight", false},
        {"layer[1-3].*", "layer2.5.bn2.bias", true},
        {"layer[1-3].*", "layer4.0.bn2.bias", false},
        {"layer[!4].*", "layer3.0.conv1.weight", true},
        {"layer[!4].*", "layer4.0.conv1.weight", false},
        {"layer[!1-3].*", "layer4.0.conv1.weight", true},
        {"a[]]b", "a]b", true},
        {"a[!]]b", "a]b", false},
        {"a[b-]c", "a-c", true},
        {"a[bc", "a[bc", true},
        {"a[bc", "abc", false},
        {"*.bn?.*", "layer1.0.bn2.running_mean", true},
        {"*.bn?.*", "bn1.weight", false},
        {"*layer4*", "backbone.layer4.0.conv1.weight", true},
        {"*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
        {"features.2?.*", "features.28.weight", true},
        {"conv1.weight", "conv1.weight", true},
        {"conv1.weight*", "conv1.weight", true},
        {"*conv1.weight", "conv1.weight", true},
        {"**fc**", "fc", true},
        {"?", "", false},
        {"\tfc.*\n", "fc.bias", true},
    };
    for (size_t i = 0; i < TL__COUNT(cases); i++)
        if (tl__pattern_match(cases[i].patterns, cases[i].name) != cases[i].match)
            fail_msg("\"%s\" against \"%s\"", cases[i].patterns, cases[i].name);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_patterns)};
    return cmocka_run_group_tests_name("patterns", tests, NULL, NULL);
}
