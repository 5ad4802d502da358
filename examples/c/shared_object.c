/* A table that is made once and read in place by three processes. make -C examples/c run-shared_object */
#include "example.h"

enum { NUMBERS = 1 << 18, READERS = 3, TABLE = 1 };

static void read_table(const char *name)
{
    slipring_bus_t *bus;
    slipring_lease_t *lease;
    slipring_shared_t *table;
    uint64_t sum = 0;
    must(slipring_bus_listen(name, NULL, 5 * SECOND, &bus));
    must(slipring_bus_recv(bus, 5 * SECOND, &lease));
    must(slipring_lease_shared(lease, 0, &table));
    must(slipring_lease_release(lease));
    const uint32_t *numbers = (const uint32_t *)slipring_shared_data(table);
    for (size_t index = 0; index < slipring_shared_len(table) / sizeof *numbers; index++) {
        sum += numbers[index];
    }
    printf("object %llu: the sum is %llu\n", (unsigned long long)slipring_shared_id(table), (unsigned long long)sum);
    must(slipring_shared_free(table));
    must(slipring_bus_free(bus));
    exit(sum == (uint64_t)NUMBERS * (NUMBERS - 1) / 2 ? 0 : 1);
}

int main(void)
{
    char names[READERS][80];
    pid_t readers[READERS];
    slipring_builder_t *builder;
    slipring_shared_t *table;
    int well = 1;
    for (int reader = 0; reader < READERS; reader++) {
        snprintf(names[reader], sizeof names[reader], "%s-%d", own_name("shared-object"), reader);
        readers[reader] = start(read_table, names[reader]);
    }
    must(slipring_shared_build(NUMBERS * sizeof(uint32_t), 5 * SECOND, &builder));
    uint32_t *numbers = (uint32_t *)slipring_builder_data(builder);
    for (uint32_t index = 0; index < NUMBERS; index++) {
        numbers[index] = index;
    }
    must(slipring_builder_seal(builder, &table)); /* from here on nobody can change it */
    for (int reader = 0; reader < READERS; reader++) {
        const slipring_shared_t *objects[1] = {table};
        slipring_bus_t *bus;
        must(slipring_bus_connect(names[reader], NULL, 5 * SECOND, &bus));
        must(slipring_bus_send_shared(bus, TABLE, NULL, 0, objects, 1, 5 * SECOND));
        must(slipring_bus_close(bus, 5 * SECOND));
        must(slipring_bus_free(bus));
    }
    must(slipring_shared_free(table));
    for (int reader = 0; reader < READERS; reader++) {
        well &= ended_well(readers[reader]);
    }
    printf("%d processes read one table\n", READERS);
    return well ? 0 : 1;
}
