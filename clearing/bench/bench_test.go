//go:build linux

package main

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Each contender pays, is measured, and finds its books again on its disk; one
// whose file lost a byte does not.
func TestEveryContenderKeepsItsBooks(t *testing.T) {
	for _, e := range contenders {
		t.Run(e.name, func(t *testing.T) {
			c, err := e.open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			var next atomic.Uint64
			s, err := measure(c, &next, order{8, 30 * time.Millisecond})
			if err != nil || s.Payments != next.Load() || s.rate() <= 0 || s.P99 < s.P50 {
				t.Fatalf("%+v %v", s, err)
			}
			if err := c.close(next.Load()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestPeerKeepsTheRules(t *testing.T) {
	c, err := openPeer(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p := c.(*peer)
	if err := p.put(p.record(peerPost, 1)); err != errPeerState {
		t.Fatalf("posting of nothing: %v", err)
	}
	for range 2 { // a repeat says the same, and moves nothing
		if err := p.pay(1); err != nil {
			t.Fatal(err)
		}
	}
	other := p.record(peerReserve, 1)
	other[28]++
	if err := p.put(other); err != errPeerOther {
		t.Fatalf("another amount: %v", err)
	}
	p.book.accounts[5].limit = 2
	if err := p.put(p.record(peerReserve, 2)); err != errPeerLimit { // debtor 5, amount 3
		t.Fatalf("over the limit: %v", err)
	}
	if a := p.book.accounts[4]; a.position != 2 || a.reserved != 0 {
		t.Fatalf("debtor has %+v", a)
	}
	p.book.accounts[5].limit = math.MaxInt64 / 4 // as replay has it
	path := p.file.Name()
	if err := p.close(1); err != nil {
		t.Fatal(err)
	}
	damageIsFound(t, path, checksum{})
}

func TestEvidenceIsChecked(t *testing.T) {
	c, err := openEvidence(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p := c.(*peer)
	for n := range uint64(3) {
		if err := p.pay(n + 1); err != nil {
			t.Fatal(err)
		}
	}
	path := p.file.Name()
	if err := p.close(3); err != nil {
		t.Fatal(err)
	}
	damageIsFound(t, path, &evidence{})
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := evidenceSize; at < len(whole); at += 7 { // lengths of records among them
		damaged := bytes.Clone(whole)
		damaged[at] ^= 0x80
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := replayPeer(path, &evidence{}); err == nil {
			t.Fatalf("byte %d was changed, and nobody saw it", at)
		}
	}
	if err := os.WriteFile(path, make([]byte, evidenceSize-1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := replayPeer(path, &evidence{}); err == nil {
		t.Fatal("half a header is read")
	}
}

// damageIsFound changes the last byte of a peer's file, and expects it to be found.
func damageIsFound(t *testing.T, path string, seal peerSeal) {
	t.Helper()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	whole[len(whole)-1] ^= 1
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := replayPeer(path, seal); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Fatal(err)
	}
}

func TestReportSaysWhatMetItsGoal(t *testing.T) {
	r := &report{Rounds: 3}
	samples := func(rates ...uint64) (out []sample) {
		for _, rate := range rates {
			out = append(out, sample{Payments: rate, Seconds: 1, P50: 1, P99: 2, CPU: 0.5})
		}
		return out
	}
	r.addTransfers(goalCallers, [][]sample{samples(80, 120, 100), samples(1, 2, 3), samples(100, 100, 200), samples(400, 400, 400), samples(90, 90, 90)})
	if len(r.Goals) != 3 || !r.Goals[0].Met || r.Goals[0].Value != 60 || !r.Goals[1].Met || r.Goals[1].Value != 0.8 || r.Goals[2].Met || r.Goals[2].Value != 100 {
		t.Fatalf("%+v", r.Goals)
	}
	path := filepath.Join(t.TempDir(), "figures.json")
	var out bytes.Buffer
	if err := r.show(&out, path); err != nil {
		t.Fatal(err)
	}
	figures, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for where, line := range map[string]string{out.String(): "100 transfers/s  >= 100000  missed", string(figures): `"contender": "product"`} {
		if !strings.Contains(where, line) {
			t.Fatalf("no %q in\n%s", line, where)
		}
	}
}

func TestBooksAreMeasured(t *testing.T) {
	r := &report{}
	if err := measureBooks(settings{payments: 4000}, t.TempDir(), r); err != nil {
		t.Fatal(err)
	}
	if len(r.Goals) < 2 {
		t.Fatalf("%+v", r.Goals)
	}
}
