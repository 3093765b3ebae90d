//go:build linux

package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

// settings are the flags.
type settings struct {
	json      string
	dir       string
	callers   []int
	rounds    int
	slice     time.Duration
	payments  uint64
	parts     []string
	profile   string
	contender string // set in a child process: which one it is
}

func main() {
	s, err := readFlags()
	if err == nil && s.contender != "" {
		err = serveRuns(s)
	} else if err == nil {
		err = run(s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func readFlags() (settings, error) {
	var s settings
	var callers, parts string
	flag.StringVar(&s.json, "json", "", "write the figures to this file, as JSON")
	flag.StringVar(&s.dir, "dir", "", "folder on the disk to measure; default: the temporary folder")
	flag.StringVar(&callers, "callers", "1,16,64,1024", "how many callers at once")
	flag.IntVar(&s.rounds, "rounds", 3, "how often each is measured")
	flag.DurationVar(&s.slice, "slice", 1500*time.Millisecond, "how long, each time")
	flag.Uint64Var(&s.payments, "payments", 10_000_000, "posted payments in the window that is closed; half of them are in the journal that is replayed")
	flag.StringVar(&parts, "parts", "transfers,postgres,books", "what to measure")
	flag.StringVar(&s.profile, "profile", "", "write a processor profile of each contender into this folder")
	flag.StringVar(&s.contender, "contender", "", "be this contender, asked on stdin")
	flag.Parse()
	s.parts = strings.Split(parts, ",")
	for _, n := range strings.Split(callers, ",") {
		count, err := strconv.Atoi(n)
		if err != nil || count < 1 || count > 1<<16 {
			return s, fmt.Errorf("-callers %q: want whole numbers from 1 to 65536", callers)
		}
		s.callers = append(s.callers, count)
	}
	if s.rounds < 1 || s.slice < 10*time.Millisecond || s.payments < 1000 {
		return s, fmt.Errorf("want at least one round, 10ms a slice, 1000 payments")
	}
	debug.SetGCPercent(400) // as `tongma serve` has it
	return s, nil
}

// run measures all parts and reports them.
func run(s settings) error {
	dir, err := os.MkdirTemp(s.dir, "bench-clearing-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	began := time.Now()
	r := &report{Began: began.UTC().Format(time.RFC3339), Processors: runtime.NumCPU(), Go: runtime.Version(), Rounds: s.rounds, Slice: s.slice.Seconds()}
	for _, part := range []struct {
		name    string
		measure func(settings, string, *report) error
	}{{"transfers", measureTransfers}, {"postgres", measurePostgres}, {"books", measureBooks}} {
		if !slices.Contains(s.parts, part.name) {
			continue
		}
		if err := part.measure(s, dir, r); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	r.Seconds = time.Since(began).Seconds()
	return r.show(os.Stdout, s.json)
}
