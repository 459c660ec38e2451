/* test_cgroup: quotas and limits of simulated control groups of both versions, at all levels. */
#include "common/base/cgroup.h"
#include "tests/unit/unit.h"

#include <math.h>

/* Writes a file of the simulated machine, and makes its folders. */
static void put(const char *name, const char *text) {
    char command[1200];
    snprintf(command, sizeof command, "mkdir -p \"$(dirname '%s/%s')\"", unit_folder, name);
    assert_int_equal(system(command), 0);
    FILE *file = fopen(unit_path(name), "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void begin(const char *groups, const char *mounts) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'/*", unit_folder);
    assert_int_equal(system(command), 0);
    put("proc/self/cgroup", groups);
    put("proc/self/mountinfo", mounts);
}

static void expect(double processors, size_t memory_nbytes) {
    struct cgroup_limits limits = cgroup_read(unit_folder);
    if (isinf(processors))
        assert_true(isinf(limits.processors));
    else
        assert_true(fabs(limits.processors - processors) <= 1e-9);
    assert_int_equal(limits.memory_nbytes, memory_nbytes);
}

static const char mount2[] =
    "25 30 0:25 / / rw - ext4 /dev/sda rw\n"
    "31 23 0:27 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

static void test_version_2(void **state) {
    (void)state;
    begin("0::/a/b\n", mount2);
    expect(INFINITY, SIZE_MAX);
    put("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    put("sys/fs/cgroup/a/b/memory.max", "max\n");
    put("sys/fs/cgroup/a/b/memory.current", "5000\n");
    expect(INFINITY, SIZE_MAX);
    put("sys/fs/cgroup/a/b/cpu.max", "150000 100000\n");
    put("sys/fs/cgroup/a/b/memory.max", "20000\n");
    expect(1.5, 15000);
    put("sys/fs/cgroup/a/b/memory.stat", "anon 1000\ninactive_file 3000\nactive_file 900\n");
    expect(1.5, 18000);
    put("sys/fs/cgroup/a/b/memory.high", "12000\n");
    expect(1.5, 10000);
    put("sys/fs/cgroup/a/b/memory.current", "99000\n"); /* above its limit: nothing is left */
    expect(1.5, 0);
}

/* A group above may be the narrower one; each level counts. */
static void test_levels(void **state) {
    (void)state;
    begin("0::/a/b/c\n", mount2);
    put("sys/fs/cgroup/a/b/c/memory.max", "900000\n");
    put("sys/fs/cgroup/a/memory.max", "700000\n");
    put("sys/fs/cgroup/a/memory.current", "100000\n");
    put("sys/fs/cgroup/a/b/cpu.max", "50000 100000\n");
    put("sys/fs/cgroup/a/b/c/cpu.max", "300000 100000\n");
    expect(0.5, 600000);
    put("sys/fs/cgroup/memory.max", "400000\n"); /* what a container sees as its root */
    expect(0.5, 400000);
}

static void test_version_1(void **state) {
    (void)state;
    begin("4:memory:/job\n3:cpu,cpuacct:/job\n2:cpuset:/other\n1:name=systemd:/\n",
          "30 25 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
          "31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n");
    put("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "9223372036854771712\n");
    put("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "1000\n");
    put("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "-1\n");
    put("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
    expect(INFINITY, 9223372036854771712u - 1000);
    put("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "160000\n");
    put("sys/fs/cgroup/memory/job/memory.stat", "inactive_file 7\ntotal_inactive_file 400\n");
    put("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "200000\n");
    expect(2, 159400);
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "100000\n");
    expect(2, 100000);
}

/* In a container the mount's root is the container's own group; escapes in the names of folders. */
static void test_container(void **state) {
    (void)state;
    begin("4:memory:/docker/abc/inner\n",
          "30 25 0:26 /docker/abc /my\\040groups rw - cgroup cgroup rw,memory\n");
    put("my groups/inner/memory.limit_in_bytes", "5000\n");
    put("my groups/memory.limit_in_bytes", "4000\n");
    expect(INFINITY, 4000);
    begin("0::/../outside\n", "30 25 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 none rw\n");
    put("sys/fs/cgroup/memory.max", "3000\n");
    expect(INFINITY, 3000);
}

static void test_nothing_or_nonsense(void **state) {
    (void)state;
    begin("", "");
    expect(INFINITY, SIZE_MAX);
    begin("nonsense\n0:\n::\n4:memory:/a\n", "30 25\n - \n\n");
    expect(INFINITY, SIZE_MAX);
    begin("0::/a\n", mount2);
    put("sys/fs/cgroup/a/memory.max", "-5\n");
    put("sys/fs/cgroup/a/cpu.max", "0 0\n");
    expect(INFINITY, SIZE_MAX);
    put("sys/fs/cgroup/a/memory.max", "");
    put("sys/fs/cgroup/a/cpu.max", "x y\n");
    expect(INFINITY, SIZE_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version_2),           cmocka_unit_test(test_levels),
        cmocka_unit_test(test_version_1),           cmocka_unit_test(test_container),
        cmocka_unit_test(test_nothing_or_nonsense),
    };
    return cmocka_run_group_tests(tests, unit_scratch_make, unit_scratch_remove);
}
