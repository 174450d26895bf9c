/* Blending by the largest deficit: each draw goes to the source that lags most behind its share. */
#include <stdint.h>

void blend(const double *weights, int64_t *drawn, int64_t sources, int64_t draws, uint32_t *out) {
    for (int64_t n = 0; n < draws; n++) {
        double most = -1.0;
        int64_t lagging = 0;
        for (int64_t k = 0; k < sources; k++) {
            double deficit = weights[k] * (double)(n + 1) - (double)drawn[k];
            if (deficit > most) {
                most = deficit;
                lagging = k;
            }
        }
        drawn[lagging]++;
        out[n] = (uint32_t)lagging;
    }
}
