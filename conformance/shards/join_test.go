package shards

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/conformance/crash"
)

// epoch is that of a shard's writer, and the number of its latest entry.
func (s *stage) epoch(shard int) (epoch, entry uint64) {
	s.t.Helper()
	var now struct{ Epoch, Entry uint64 }
	if err := s.ask(shard, "GET", "/v1/status", nil, &now); err != nil {
		s.t.Fatal(err)
	}
	return now.Epoch, now.Entry
}

// TestAShardJoinsUnderLoad: payments flow at all doors while the writers of two shards are
// started again as two of three, one killed and one relieved by its standby; the third joins; and
// a wallet's network moves there, cut off once by the end of the shard that lets it go. A
// writer that still takes itself for one of two finds out by reading, and disturbs
// nobody. Nothing is lost or doubled, and the head gathers the window of all three.
func TestAShardJoinsUnderLoad(t *testing.T) {
	s := setOf(t, 2)
	end := s.traffic()
	time.Sleep(time.Second)
	s.of = 3
	s.procs[2].Kill()
	s.start(2)
	relief := s.standBy(1)
	s.procs[1].Kill()
	s.succeeds(1, relief)
	s.start(3)
	if err := s.ask(1, "POST", "/v1/windows/close", struct{}{}, &struct{}{}); err != nil {
		t.Fatal(err)
	}
	home := int(clearing.HomeOf("wechatpay", 2))
	go func() { time.Sleep(8 * time.Millisecond); s.procs[home].Kill() }()
	_ = s.ask(3, "POST", "/v1/participants/wechatpay/move", map[string]any{"to": 3}, &struct{}{}) // it may be cut off
	time.Sleep(300 * time.Millisecond)
	s.start(home)
	s.arrives(3-home, "wechatpay", 3)
	s.staysAway(2, "2/2")
	time.Sleep(time.Second)
	s.compare(end())
	s.nothingAwaited()
	if _, entries := s.epoch(3); entries < 20 {
		t.Errorf("the third shard has %d entries: nobody pays there", entries)
	}
}

// staysAway holds that a switch which was started for a shard under a wrong figure stops with
// an error that says so, and that the writer goes on.
func (s *stage) staysAway(shard int, figure string) {
	s.t.Helper()
	was, before := s.epoch(shard)
	folder := filepath.Join(s.dir, "stray")
	s.must("cluster", "credentials", "--data", s.data(1), "--out", folder)
	for _, role := range []string{"", "--standby=true"} {
		args := []string{"serve", "--data", folder, "--directory", s.directory, "--sandbox", "--nats", s.url, "--shard", figure, "--iso8583-listen", "", "--http-listen", "", "--log-level", "warn"}
		if role != "" {
			args = append(args, role)
		}
		p := crash.Start(s.t, args...)
		select {
		case <-p.Ended:
		case <-time.After(10 * time.Second):
			p.Kill()
			s.t.Errorf("a switch that is to be shard %s %s goes on:\n%s", figure, role, p.Stderr.String())
			continue
		}
		said := p.Stderr.String()
		for _, words := range []string{fmt.Sprintf("shard %d of %d", shard, s.of), "No money moved", fmt.Sprintf("%d/%d", shard, s.of)} {
			if !strings.Contains(said, words) {
				s.t.Errorf("it does not say %q:\n%s", words, said)
			}
		}
	}
	if now, after := s.epoch(shard); now != was || after < before {
		s.t.Errorf("shard %d is in epoch %d, entry %d; it was in %d, %d", shard, now, after, was, before)
	}
}
