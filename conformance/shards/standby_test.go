package shards

import (
	"fmt"
	"testing"
	"time"

	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/conformance/crash"
)

// understudy is a switch that stands by for one shard.
type understudy struct {
	folder, http string
	p            *crash.Process
}

// standBy has another switch stand by for a shard, with a folder of its own.
func (s *stage) standBy(shard int) understudy {
	s.t.Helper()
	u := understudy{folder: s.data(shard) + "-b", http: crash.FreePorts(s.t, 1)[0]}
	s.must("cluster", "credentials", "--data", s.data(1), "--out", u.folder)
	u.p, u.http = s.serve("standby", shard, u.folder, u.http, "--standby")
	return u
}

// succeeds waits until the understudy is the writer of its shard.
func (s *stage) succeeds(shard int, u understudy) {
	s.t.Helper()
	s.becomes("ok", u.http, u.p)
	s.folders[shard], s.http[shard], s.procs[shard] = u.folder, u.http, u.p
}

// TestAStandbyOfAShardTakesOver: under traffic at all doors the writer of a shard is
// killed while a window closes and a participant moves out of it, and its standby takes
// over; then the same of the head. The moves end by themselves, the head gathers every
// window, and nothing is lost or doubled.
func TestAStandbyOfAShardTakesOver(t *testing.T) {
	s := set(t)
	end := s.traffic()
	at := int(clearing.HomeOf("wechatpay", 3))
	if at == int(clearing.Head) {
		t.Fatal("the first victim is to be another than the head")
	}
	first, head := s.standBy(at), s.standBy(int(clearing.Head))
	time.Sleep(500 * time.Millisecond)
	for _, round := range []struct {
		victim, from, to int
		u                understudy
		after            time.Duration
	}{
		{at, at, int(clearing.Head), first, 5 * time.Millisecond},
		{int(clearing.Head), int(clearing.Head), at, head, 3 * time.Millisecond},
	} {
		door := 6 - round.from - round.to // one that is neither
		closed, moved := make(chan error, 1), make(chan error, 1)
		go func() {
			closed <- s.ask(int(clearing.Head), "POST", "/v1/windows/close", struct{}{}, &struct{}{})
		}()
		go func() {
			moved <- s.ask(door, "POST", "/v1/participants/wechatpay/move", map[string]any{"to": round.to}, &struct{}{})
		}()
		time.Sleep(round.after)
		s.procs[round.victim].Kill()
		killed := time.Now()
		closeErr, moveErr := <-closed, <-moved // either may have been cut off
		s.succeeds(round.victim, round.u)
		t.Logf("shard %d has a writer again after %v; the close: %v; the move: %v", round.victim, time.Since(killed).Round(time.Millisecond), closeErr, moveErr)
		s.arrives(door, "wechatpay", round.to)
		time.Sleep(300 * time.Millisecond)
	}
	s.compare(end())
	s.nothingAwaited()
}

// arrives has a move end, which may have been cut off anywhere.
func (s *stage) arrives(door int, who string, to int) {
	s.t.Helper()
	var moved struct{ Done bool }
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		err := s.ask(door, "POST", "/v1/participants/"+who+"/move", map[string]any{"to": to}, &moved)
		if moved.Done {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("the move to %d does not end: %v", to, err)
		}
	}
}

// nothingAwaited holds that every closed window of the head was gathered from all.
func (s *stage) nothingAwaited() {
	s.t.Helper()
	var page struct {
		Windows []struct {
			Window, State string
			Awaited       []int `json:"awaited_shards"`
		}
	}
	if err := s.ask(int(clearing.Head), "GET", "/v1/windows", nil, &page); err != nil {
		s.t.Fatal(err)
	}
	closed := 0
	for _, w := range page.Windows {
		if len(w.Awaited) > 0 {
			s.t.Errorf("%s waits for %v", w.Window, w.Awaited)
		}
		if w.State != "open" {
			closed++
		}
	}
	if closed == 0 {
		s.t.Error(fmt.Sprint("no window was closed: ", page))
	}
}
