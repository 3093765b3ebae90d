package sim

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	seeds = flag.Int("seeds", 0, "how many histories to play; 0: as many as fit a plain go test")
	from  = flag.Uint64("from", 1, "the first of them")
	say   = flag.Bool("say", false, "print the digests of the histories' traces and journals")
	one   = flag.Uint64("seed", 0, "play this one history and print its trace")
)

// plain is how many histories a plain go test plays.
const plain = 1500

// longest is how long one history may take in real time. They take milliseconds;
// who runs round in no time at all is seen from outside of the bubble only.
const longest = time.Minute

// bubble plays one history in a bubble of its own.
func bubble(t *testing.T, seed uint64, log io.Writer) (r Result) {
	watch := time.AfterFunc(longest, func() {
		fmt.Fprintf(os.Stderr, "seed %d: hang: no end in %v\nreplay: make sim SEED=%d\n", seed, longest, seed)
		os.Exit(1)
	})
	defer watch.Stop()
	synctest.Test(t, func(*testing.T) {
		if r = Run(seed, log); r.Broken != nil {
			// At once: a switch that is broken may leave goroutines behind, and that is the
			// end of the process.
			fmt.Fprintln(os.Stderr, r.Broken)
		}
	})
	return r
}

// play runs n histories on all cores and hands their results to see, one at a time.
func play(t *testing.T, first uint64, n int, see func(Result) (more bool)) {
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // histories are small and short: the collector may wait
	var mu sync.Mutex
	var wg sync.WaitGroup
	next, more := first, true
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				mu.Lock()
				seed := next
				next++
				stop := !more || seed >= first+uint64(n)
				mu.Unlock()
				if stop {
					return
				}
				r := bubble(t, seed, nil)
				mu.Lock()
				more = see(r) && more
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// total is what many histories come to.
type total struct {
	histories, detected, steps, entries int
	virtual                             time.Duration
	ends                                [endCount]int
	faults                              [faultCount]int
	broken                              []*Violation
	features                            [featureCount]int
	met                                 [traits][faultCount]int
}

func (s *total) add(r Result) {
	s.histories++
	s.steps += r.Steps
	s.entries += r.Entries
	s.virtual += r.Virtual
	if r.Detected {
		s.detected++
	}
	for i, n := range r.Ends {
		s.ends[i] += n
	}
	for i, n := range r.Faults {
		s.faults[i] += n
	}
	for i, n := range r.Features {
		if s.features[i] += n; n == 0 || Feature(i) >= traits {
			continue
		}
		for f, hit := range r.Faults {
			if hit > 0 {
				s.met[i][f]++
			}
		}
	}
	if r.Broken != nil {
		s.broken = append(s.broken, r.Broken)
	}
}

func (s *total) print(wall time.Duration) {
	fmt.Printf("histories             %12d\n", s.histories)
	fmt.Printf("virtual hours         %12.0f\n", s.virtual.Hours())
	fmt.Printf("steps                 %12d\n", s.steps)
	fmt.Printf("journal entries       %12d\n", s.entries)
	fmt.Printf("damage found          %12d\n", s.detected)
	fmt.Println("payments by end")
	for _, e := range Ends() {
		fmt.Printf("  %-30s %9d\n", e, s.ends[e])
	}
	fmt.Println("faults by kind")
	for _, f := range Faults() {
		fmt.Printf("  %-30s %9d\n", f, s.faults[f])
	}
	fmt.Println("features, and with how many kinds of faults they met")
	for _, f := range Features() {
		met := ""
		if f < traits {
			met = fmt.Sprintf("%9d of %d, at least %d times", int(faultCount)-len(s.missed(f)), faultCount, slices.Min(s.met[f][:]))
		}
		fmt.Printf("  %-36s %9d%s\n", f, s.features[f], met)
	}
	fmt.Printf("violations            %12d\n", len(s.broken))
	fmt.Printf("wall seconds          %12.1f\n", wall.Seconds())
	fmt.Printf("seeds a second        %12.1f\n", float64(s.histories)/wall.Seconds())
}

// missed are the faults that a feature has met in no history.
func (s *total) missed(f Feature) (names []string) {
	for i, n := range s.met[f] {
		if n == 0 {
			names = append(names, Fault(i).String())
		}
	}
	return names
}

// whole is how many histories have to show everything.
const whole = 10_000

func TestHistoriesBreakNoRule(t *testing.T) {
	if *one != 0 {
		r := bubble(t, *one, os.Stdout)
		if r.Broken != nil {
			t.Fatal(r.Broken)
		}
		return
	}
	n, full := *seeds, *seeds > 0
	if n == 0 {
		n = plain
		if testing.Short() {
			n = plain / 5
		}
	}
	start := time.Now()
	var all total
	play(t, *from, n, func(r Result) bool {
		all.add(r)
		return r.Broken == nil
	})
	if full {
		all.print(time.Since(start))
	}
	for _, v := range all.broken {
		t.Errorf("%v\nreplay: make sim SEED=%d", v, v.Seed)
	}
	if t.Failed() || n < plain {
		return
	}
	for _, f := range Faults() {
		if all.faults[f] == 0 {
			t.Errorf("no history had this fault: %v", f)
		}
	}
	if n < whole {
		return
	}
	for _, f := range Features() {
		if all.features[f] == 0 {
			t.Errorf("no history had this: %v", f)
		}
		if f < traits && len(all.missed(f)) > 0 {
			t.Errorf("%v never met: %v", f, strings.Join(all.missed(f), ", "))
		}
	}
}

// repeated is how many seeds are played again.
const repeated = 300

// digests plays histories and writes what two runs of a seed must agree in.
func digests(t *testing.T, n int) map[uint64]string {
	lines := map[uint64]string{}
	play(t, 1, n, func(r Result) bool {
		lines[r.Seed] = fmt.Sprintf("seed %d trace %x journal %x steps %d virtual %d", r.Seed, r.Trace, r.Journal, r.Steps, r.Virtual)
		return true
	})
	return lines
}

// TestASeedReplaysByteForByte plays the same seeds in this process on all cores,
// and in another one on a single core: traces and journals are the same.
func TestASeedReplaysByteForByte(t *testing.T) {
	n := repeated
	if testing.Short() {
		n /= 10
	}
	if *seeds > 0 {
		n = *seeds
	}
	here := digests(t, n)
	if *say {
		for seed := uint64(1); seed <= uint64(n); seed++ {
			fmt.Println(here[seed])
		}
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run", "^TestASeedReplaysByteForByte$", "-say", "-seeds", strconv.Itoa(n))
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	there := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		there[strings.TrimSpace(line)] = true
	}
	for seed := uint64(1); seed <= uint64(n); seed++ {
		if !there[here[seed]] {
			t.Errorf("another process plays it otherwise than this one: %s", here[seed])
		}
	}
}
