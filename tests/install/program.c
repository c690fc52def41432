/* SPDX-License-Identifier: Apache-2.0 */
/* A user's whole program: one rank adds up alone. */
#include <whorl/whorl.h>

#include <stdio.h>

int main(void)
{
    whorl_comm_t comm;
    float sent = 3.0f, received = 0.0f;

    if (whorl_comm_create_local(1, NULL, &comm) != WHORL_OK ||
        whorl_all_reduce(&sent, &received, 1, WHORL_FLOAT32, WHORL_SUM, comm, NULL) != WHORL_OK) {
        fprintf(stderr, "%s\n", whorl_last_error(NULL));
        return 1;
    }
    whorl_comm_destroy(comm);
    printf("version %d, sum %g\n", whorl_version(), (double)received);
    return whorl_version() == WHORL_VERSION_CODE && received == sent ? 0 : 1;
}
