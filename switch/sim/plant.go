package sim

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/journal"
	switching "github.com/tongma/tongma/switch"
	"github.com/tongma/tongma/switch/office"
	"github.com/tongma/tongma/switch/settle"
)

// plant is one start of the switch: a process, with its way to the disk and its
// adapters. It dies by a crash, by an order, or because its journal stopped.
type plant struct {
	h        *history
	number   uint64
	cable    *cable
	engine   *switching.Engine // nil until it has opened
	up       bool              // takes requests
	dead     bool              // nothing that it still does has an effect
	stopped  bool              // told to stop
	office   *office.Office
	settler  *settle.Settler
	folder   string // of its snapshot
	adopting int    // directories that are on their way into its books
	half     bool   // the latest did not get there whole
	clock    context.CancelFunc
	fuse     int             // events until it crashes, counting down; not more than 0: none is due
	killed   chan struct{}   // closed when dead
	ctx      context.Context // ends when dead
	cancel   context.CancelFunc
	shift    time.Duration // its clock, less the world's
	follows  time.Duration // as a standby, before it takes over; 0: it takes over at once
}

// boot starts a switch on the disk as it is; one that follows does so as a standby
// before it takes over.
func (h *history) boot(follows time.Duration) *plant {
	p := &plant{follows: follows, number: uint64(len(h.plants) + 1), killed: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.h, p.clock = h, func() {}
	p.cable = &cable{d: h.disk, p: p}
	h.plants = append(h.plants, p)
	if chance(h.rand, h.rate(h.plan.recrash)) {
		p.fuse = 1 + h.rand.IntN(12)
	}
	if n := len(h.plants); n > 1 {
		p.shift = h.plants[n-2].shift
	}
	p.folder = h.folderOf(p)
	h.tell("switch %d starts", p.number)
	h.background(func() {
		e, err := switching.Open(p.ctx, h.options(p))
		h.soon(func() { h.opened(p, e, err) }, 'b', p.number)
	})
	return p
}

// options are what the switch gets of the world.
func (h *history) options(p *plant) switching.Options {
	adapters := map[tongma.SchemeID]switching.Adapter{}
	for _, w := range h.wallets {
		adapters[w.scheme] = &adapter{h: h, p: p, w: w}
	}
	return switching.Options{Store: p.cable, Registry: h.registry, Adapters: adapters, Dealer: func(tongma.ParticipantID) (switching.Dealer, func()) { return &dealer{h, p}, nil }, Digest: func(code string) [16]byte {
		sum := sha256.Sum256([]byte(code))
		return [16]byte(sum[:16])
	}, Now: func() time.Time {
		return p.now()
	}, Office: func(ctx context.Context, opts clearing.LedgerOptions) (*clearing.Ledger, error) {
		opts.Confirm, opts.Snapshot = h.plan.confirms, h.snapshots(p)
		return h.ledger(ctx, p, opts)
	}, NewID: h.newID, Pace: func() { time.Sleep(time.Nanosecond) }, Journal: []journal.Option{journal.WithWriters(func() uint64 {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.writers++
		return h.writers
	})}}
}

// now is the time by the switch's clock.
func (p *plant) now() time.Time {
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	return time.Now().Add(p.h.night + p.shift)
}

// ledger makes a switch the journal's writer.
func (h *history) ledger(ctx context.Context, p *plant, opts clearing.LedgerOptions) (*clearing.Ledger, error) {
	if p.follows == 0 {
		return clearing.OpenLedger(ctx, p.cable, opts)
	}
	s, err := clearing.OpenStandby(ctx, p.cable, opts)
	if err != nil {
		return nil, err
	}
	timer := time.NewTimer(p.follows)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.killed:
	case <-s.Stopped():
	}
	l, err := s.TakeOver(ctx)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	h.mu.Lock()
	h.count(StandbyTakesOver)
	h.mu.Unlock()
	return l, nil
}

// newID makes a payment's id of a counter and the seed.
func (h *history) newID() tongma.PaymentID {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ids++
	var id tongma.PaymentID
	binary.BigEndian.PutUint64(id[:], h.ids)
	binary.BigEndian.PutUint64(id[8:], mix(h.seed^mix(h.ids)))
	return id
}

// opened hears what came of a start.
func (h *history) opened(p *plant, e *switching.Engine, err error) {
	if err != nil {
		h.tell("switch %d does not start: %v", p.number, tongma.ReasonOf(err))
		if !p.dead && tongma.ReasonOf(err) == tongma.Internal && h.disk.away == 0 && !isStop(err) {
			h.fail("start", "switch %d: %v", p.number, err)
		}
		h.gone(p)
		return
	}
	p.engine = e
	if p.dead {
		h.background(func() { _ = e.Close() })
		return
	}
	p.settler = settle.New(settle.Options{Ledger: e.Ledger(), Directory: h.registry.Current, Agent: h.agentOf(p)})
	if p.office, err = office.New(office.Options{Ledger: e.Ledger(), Journal: p.cable, Directory: h.registry.Current, Now: p.now, NewID: h.newID}); err != nil {
		h.fail("start", "%v", err)
		return
	}
	p.up = true
	h.tell("switch %d is up", p.number)
	h.schedule(p)
	h.background(func() {
		select {
		case <-e.Ledger().Stopped():
		case <-p.killed:
		}
		h.soon(func() { h.ended(p) }, 'e', p.number)
	})
}

// schedule has the clock close the windows of a switch, if the plan says so.
func (h *history) schedule(p *plant) {
	if h.plan.every == 0 || h.healed {
		return
	}
	ctx, cancel := context.WithCancel(p.ctx)
	p.clock = cancel
	closed := uint64(0)
	c := settle.NewClock(settle.ClockOptions{Ledger: p.engine.Ledger(), Directory: h.registry.Current, Every: h.plan.every, Closed: func(context.Context, settle.Closing) {
		h.mu.Lock()
		closed++
		n := closed
		h.mu.Unlock()
		h.soon(h.settle, 'l', p.number, n)
	}})
	h.background(func() {
		err := c.Run(ctx)
		h.soon(func() { h.mayFail(p, "clock", err) }, 'L', p.number)
	})
}

// ended is when a switch has stopped by itself: its journal did, or another
// switch has taken over.
func (h *history) ended(p *plant) {
	if p.dead {
		return
	}
	reason := tongma.ReasonOf(p.engine.Ledger().Err())
	h.tell("switch %d has stopped: %v", p.number, reason)
	if reason == tongma.SteppedDown {
		h.count(Fenced)
	}
	h.gone(p)
}

// gone takes a switch off, and starts another if none is left.
func (h *history) gone(p *plant) {
	h.kill(p)
	for _, other := range h.plants {
		if !other.dead {
			return
		}
	}
	if !h.over {
		h.after(between(h.rand, 20*time.Millisecond, 20*time.Second), func() {
			if h.living() == nil {
				h.boot(0)
			}
		})
	}
}

// crash is a power cut: what the switch was doing ends at once.
func (h *history) crash(p *plant) {
	if p.dead {
		return
	}
	h.count(SwitchCrash)
	if !p.up {
		h.count(RecoveryCrash)
	}
	h.tell("switch %d crashes", p.number)
	h.disk.powerLost(p.cable)
	h.gone(p)
}

// crashServing is a power cut where somebody serves.
func (h *history) crashServing() {
	if p := h.serving(); p != nil && !h.healed {
		h.crash(p)
	}
}

// kill makes that nothing a switch still does has an effect, and clears it away.
func (h *history) kill(p *plant) {
	if p.dead {
		return
	}
	p.dead, p.up = true, false
	h.keep(p)
	close(p.killed)
	p.cancel()
	if e := p.engine; e != nil {
		h.background(func() { _ = e.Close() })
	}
}

// stop ends a switch as an operator does.
func (h *history) stop(p *plant) {
	if !p.up || p.stopped {
		return
	}
	p.stopped = true
	h.count(SwitchStop)
	h.tell("switch %d is told to stop", p.number)
	h.background(func() {
		_ = p.engine.Close()
		h.soon(func() { h.ended(p) }, 's', p.number)
	})
}

// living returns the latest switch that is not dead, or nil.
func (h *history) living() *plant {
	for i := len(h.plants) - 1; i >= 0; i-- {
		if !h.plants[i].dead {
			return h.plants[i]
		}
	}
	return nil
}

// serving returns a switch that takes requests, or nil: if there are two, any.
func (h *history) serving() *plant {
	var up []*plant
	for _, p := range h.plants {
		if p.up {
			up = append(up, p)
		}
	}
	switch len(up) {
	case 0:
		return nil
	case 1:
		return up[0]
	}
	return up[h.rand.IntN(len(up))]
}

// current tells whether p has to know all that the journal has: no other switch
// was started behind it, or it asks before each answer.
func (h *history) current(p *plant) bool {
	return h.plan.confirms || h.plants[len(h.plants)-1] == p
}
