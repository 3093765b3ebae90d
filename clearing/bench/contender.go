//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// contender is one way to keep books durably.
type contender interface {
	// pay reserves and posts payment n. Both are on the disk when it returns. Any
	// number of goroutines call it, each n once.
	pay(n uint64) error
	// close ends it, reads again what it wrote, and compares that with its books
	// after so many payments.
	close(payments uint64) error
}

// entrant is how a contender is called, and started.
type entrant struct {
	letter, name, says string
	open               func(dir string) (contender, error)
}

// contenders are those of one process each.
var contenders = []entrant{
	{"a", "product", "clearing.Ledger, embedded JetStream, sync always", openProduct},
	{"b", "file", "clearing.Ledger, plain file, fdatasync", openFileLedger},
	{"c", "peer", "plain-file group commit with a small book, no hashes, no windows, no fencing", openPeer},
	{"d", "floor", "plain-file group commit, no book", openFloor},
	{"e", "evidence", "the peer with the product's evidence: a SHA-256 leaf for each record, a Merkle root and a chained hash for each batch", openEvidence},
}

// order asks a contender's process for one measurement.
type order struct {
	Callers int
	For     time.Duration
}

// sample is one measurement.
type sample struct {
	Payments uint64
	Seconds  float64
	CPU      float64 // seconds of processor, of the contender's whole process
	P50, P99 float64 // microseconds that a caller waited for a whole payment
	Error    string  `json:",omitempty"`
}

func (s *sample) rate() float64 { return float64(s.Payments) / s.Seconds }

// serveRuns is the life of a contender's process: it measures for each line of
// stdin, and at the end of stdin closes and checks.
func serveRuns(s settings) error {
	i := slices.IndexFunc(contenders, func(c entrant) bool { return c.name == s.contender })
	if i < 0 {
		return fmt.Errorf("no contender %q", s.contender)
	}
	c, err := contenders[i].open(s.dir)
	if err != nil {
		return err
	}
	if s.profile != "" {
		f, err := os.Create(filepath.Join(s.profile, s.contender+".prof"))
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	var next atomic.Uint64
	answers := json.NewEncoder(os.Stdout)
	for orders := json.NewDecoder(os.Stdin); ; {
		var o order
		if err := orders.Decode(&o); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		s, err := measure(c, &next, o)
		if err != nil {
			s.Error = err.Error()
		}
		if err := answers.Encode(s); err != nil {
			return err
		}
	}
	return c.close(next.Load())
}

// measure has callers pay one payment after the other until time is up.
func measure(c contender, next *atomic.Uint64, o order) (sample, error) {
	var all sync.WaitGroup
	var stop atomic.Bool
	waits, failed := make([][]time.Duration, o.Callers), make([]error, o.Callers)
	runtime.GC()
	cpu, began, first := processor(), time.Now(), next.Load()
	time.AfterFunc(o.For, func() { stop.Store(true) })
	for i := range o.Callers {
		all.Go(func() {
			for !stop.Load() && failed[i] == nil {
				start := time.Now()
				failed[i] = c.pay(next.Add(1))
				waits[i] = append(waits[i], time.Since(start))
			}
		})
	}
	all.Wait()
	s := sample{Payments: next.Load() - first, Seconds: time.Since(began).Seconds(), CPU: processor() - cpu}
	every := slices.Concat(waits...)
	slices.Sort(every)
	s.P50, s.P99 = micros(every[len(every)/2]), micros(every[len(every)*99/100])
	return s, errors.Join(failed...)
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// processor returns the seconds of processor time that this process has used.
func processor() float64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// child is the process of a contender, as its parent has it.
type child struct {
	name    string
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	answers *json.Decoder
}

func startChild(name, dir, profile string) (*child, error) {
	own := filepath.Join(dir, name)
	if err := os.Mkdir(own, 0o700); err != nil {
		return nil, err
	}
	c := &child{name: name, cmd: exec.Command(os.Args[0], "-contender", name, "-dir", own, "-profile", profile)}
	c.cmd.Stderr = os.Stderr
	var out io.ReadCloser
	var err error
	if c.stdin, err = c.cmd.StdinPipe(); err == nil {
		out, err = c.cmd.StdoutPipe()
	}
	if err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	c.answers = json.NewDecoder(bufio.NewReader(out))
	return c, nil
}

func (c *child) ask(o order) (s sample, err error) {
	if err = json.NewEncoder(c.stdin).Encode(o); err == nil {
		err = c.answers.Decode(&s)
	}
	if err == nil && s.Error != "" {
		err = errors.New(s.Error)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", c.name, err)
	}
	return s, err
}

// close ends the process, which checks its books first.
func (c *child) close() error {
	err := errors.Join(c.stdin.Close(), c.cmd.Wait())
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

// measureTransfers has all contenders take turns, for each number of callers.
func measureTransfers(s settings, dir string, r *report) (err error) {
	children := make([]*child, len(contenders))
	for i, c := range contenders {
		if children[i], err = startChild(c.name, dir, s.profile); err != nil {
			return err
		}
		defer children[i].stdin.Close()
		if _, err := children[i].ask(order{4, 100 * time.Millisecond}); err != nil { // warm
			return err
		}
	}
	for _, callers := range s.callers {
		samples := make([][]sample, len(contenders))
		for range s.rounds {
			for i, c := range children {
				one, err := c.ask(order{callers, s.slice})
				if err != nil {
					return err
				}
				samples[i] = append(samples[i], one)
			}
		}
		r.addTransfers(callers, samples)
	}
	for _, c := range children {
		err = errors.Join(err, c.close())
	}
	return err
}
