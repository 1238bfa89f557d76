# SPDX-License-Identifier: PostgreSQL
# From the output of meson and pytest: "PASSED FAILED", both as they counted them.
/^Ok: +[0-9]/ { passed += $2 }
/^(Fail|Timeout|Unexpected Pass): +[0-9]/ { failed += $NF }
/ in [0-9.]+s( \([0-9:]+\))?( =*)?$/ {
    for (i = 2; i <= NF; i++) {
        if ($i ~ /^passed,?$/) passed += $(i - 1)
        if ($i ~ /^(failed|errors?),?$/) failed += $(i - 1)
    }
}
END { print passed + 0, failed + 0 }
