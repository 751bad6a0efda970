/* A program that is wrong: it forgets a result. The checkers must see that, or their silence about the
 * other programs would mean nothing. */
#include "quorate.h"
#include <stdio.h>

int main(void) {
    quorate_error *err = NULL;
    quorate_config *config = quorate_config_new();
    quorate_config_set(config, NULL, NULL, &err);
    printf("%s\n", err ? err->message : "");
    err = NULL; /* quorate_free was forgotten */
    quorate_config_free(config);
    return 0;
}
