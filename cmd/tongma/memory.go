package main

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// spareMemory lets the collector wait longer than Go does by itself: payments make
// short-lived garbage, and collecting it four times less often is a tenth of the
// processor's time. A limit at three quarters of the machine's memory makes it
// hurry when the books grow large. GOGC and GOMEMLIMIT are obeyed where they are
// set.
func spareMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		if total := machineMemory(); total > 0 {
			debug.SetMemoryLimit(total / 4 * 3)
		}
	}
}

// machineMemory is in bytes; zero if it cannot be told.
func machineMemory() int64 {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err == nil {
				return kib << 10
			}
		}
	}
	return 0
}
