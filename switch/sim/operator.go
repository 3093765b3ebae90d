package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schemes"
	"github.com/tongma/tongma/switch/office"
	"github.com/tongma/tongma/switch/settle"
)

// operator closes windows, has them settled, changes the directory, and sets caps.
type operator struct {
	onHeal   []func()
	settling map[tongma.WindowID]bool
	closing  bool
	acts     uint64
	keys     int
}

// act does something at a switch that serves, on a goroutine of its own, and hears
// what came of it. heard may be nil.
func (h *history) act(p *plant, what string, patience time.Duration, do func(ctx context.Context, p *plant) error, heard func(error)) {
	if p == nil {
		return
	}
	h.operator.acts++
	n := h.operator.acts
	h.background(func() {
		ctx, cancel := short(patience)
		defer cancel()
		err := do(ctx, p)
		h.soon(func() {
			h.heard(p, what, err)
			if heard != nil {
				heard(err)
			}
		}, 'w', n)
	})
}

// heard is when the operator hears what came of an act; of a switch that died
// meanwhile, nothing.
func (h *history) heard(p *plant, act string, err error) {
	if p.dead {
		h.tell("operator: %s: switch %d is dead", act, p.number)
		return
	}
	h.tell("operator: %s at switch %d: %v", act, p.number, tongma.ReasonOf(err))
}

// mayFail holds an error against the reasons that an act may have, beside those of a
// journal that stops.
func (h *history) mayFail(p *plant, what string, err error, reasons ...tongma.Reason) {
	reason := tongma.ReasonOf(err)
	switch reason {
	case tongma.JournalStopped, tongma.JournalInDoubt, tongma.SteppedDown, tongma.ShuttingDown, tongma.Overloaded:
		return
	}
	if err != nil && !p.dead && !slices.Contains(reasons, reason) && !isStop(err) {
		h.fail("operator", "%s: %v", what, err)
	}
}

// closeWindow has the open window of a model closed, as people do.
func (h *history) closeWindow(model string) {
	if h.operator.closing {
		return
	}
	p := h.serving()
	if p == nil {
		return
	}
	h.operator.closing = true
	h.tell("operator closes the window of %q at switch %d", model, p.number)
	h.act(p, "close", 20*time.Second, func(ctx context.Context, p *plant) error {
		_, err := settle.Close(ctx, p.engine.Ledger(), h.registry.Current(), model, 0, p.now())
		return err
	}, func(err error) {
		h.operator.closing = false
		h.mayFail(p, "close", err, tongma.ModelUnknown)
		h.after(between(h.rand, time.Millisecond, time.Minute), h.settle)
	})
}

// anyModel draws one.
func (h *history) anyModel() string {
	ids := h.market.modelIDs()
	return ids[h.rand.IntN(len(ids))]
}

// mostSettling is how many windows are settled at once.
const mostSettling = 2

// settle has a window that is closed and not settled be settled, and comes back
// until all are.
func (h *history) settle() {
	ids := slices.DeleteFunc(h.oracle.unsettled(), func(id tongma.WindowID) bool { return h.operator.settling[id] })
	if len(ids) == 0 || len(h.operator.settling) >= mostSettling {
		return
	}
	p := h.serving()
	if p == nil {
		h.after(between(h.rand, time.Second, 20*time.Second), h.settle)
		return
	}
	id := ids[h.rand.IntN(len(ids))]
	h.operator.settling[id] = true
	if h.byHand(id) && h.rand.IntN(4) > 0 {
		h.confirm(p, id)
		return
	}
	how := settle.How{Retry: h.healed || h.rand.IntN(2) == 0, Steps: h.rand.IntN(4) - 1}
	h.tell("operator settles window %d at switch %d, %+v", id, p.number, how)
	h.act(p, "settle", time.Minute, func(ctx context.Context, p *plant) error {
		_, err := p.settler.Settle(ctx, id, how)
		return err
	}, func(err error) { h.hasSettled(p, id, err) })
}

// hasSettled hears what came of an act of settlement. Only a switch that was deposed
// may know less than the journal.
func (h *history) hasSettled(p *plant, id tongma.WindowID, err error) {
	delete(h.operator.settling, id)
	if reason := tongma.ReasonOf(err); (reason != tongma.WindowNotClosed && reason != tongma.WindowUnknown) || h.current(p) {
		h.mayFail(p, "settle", err)
	}
	h.after(between(h.rand, time.Millisecond, 20*time.Second), h.settle)
}

// byHand tells whether no agent settles a window.
func (h *history) byHand(id tongma.WindowID) bool {
	return h.plan.byHand && h.oracle.window(id).model == h.handModel
}

// agentOf is a switch's way to the agent of a model's windows; none if people settle
// those.
func (h *history) agentOf(p *plant) func(*clearing.Sheet, tongma.Currency) settle.Agent {
	c := &counter{h: h, p: p}
	return func(s *clearing.Sheet, _ tongma.Currency) settle.Agent {
		if h.plan.byHand && s.Model == h.handModel {
			return nil
		}
		return c
	}
}

// confirm has somebody see what the bank did with what is due next in a window, and
// say that. It takes two of them.
func (h *history) confirm(p *plant, id tongma.WindowID) {
	r := rand.New(rand.NewPCG(h.rand.Uint64(), 1))
	refuse, part := h.rate(h.plan.reject), h.rate(h.plan.part)
	by := []string{"ann", "bob", " Ann", "eve"}[h.rand.IntN(4)]
	dismiss := h.rand.IntN(10) == 0
	h.tell("%s says what became of window %d at switch %d", by, id, p.number)
	h.act(p, "confirm", 20*time.Second, func(ctx context.Context, p *plant) error {
		in, none, err := dueNext(ctx, p, id)
		if err != nil {
			return err
		}
		if none {
			_, err := p.settler.Settle(ctx, id, settle.How{})
			return err
		}
		o := h.agent.byHand(in, r, refuse, part)
		word := settle.ByHand{Window: id, Instruction: in.ID, Evidence: "statement " + in.ID[:8], By: by}
		switch {
		case dismiss:
			_, err = p.settler.Dismiss(ctx, word)
		case o.outcome == settle.Rejected:
			_, err = p.settler.Refuse(ctx, word)
		default:
			if o.moved != o.transfer.Amount.Minor {
				word.Part = o.moved
			}
			_, err = p.settler.Confirm(ctx, word)
		}
		return err
	}, func(err error) {
		switch tongma.ReasonOf(err) {
		case tongma.ProposalUnknown, tongma.InstructionUnknown, tongma.StateConflict, tongma.ExistsOtherContent, tongma.MakerIsChecker:
			err = nil // nobody had said anything, another was quicker, or it is the same person under a name that looks like another
		}
		h.hasSettled(p, id, err)
	})
}

// dueNext is the first thing that is due in a window: a cover that was asked for, or
// what the sheet says.
func dueNext(ctx context.Context, p *plant, id tongma.WindowID) (in clearing.Instruction, none bool, err error) {
	none = true
	err = p.engine.Ledger().Read(ctx, func(b *clearing.Book) {
		s, ok := b.Sheet(id)
		if !ok || s.State == clearing.WindowSettled {
			return
		}
		for _, a := range b.Asked(id) {
			in, none = clearing.Instruction{ID: a.Instruction, Window: id, Debtor: a.Payer, Creditor: a.Creditor, Amount: a.Amount}, false
			return
		}
		if due := clearing.Instruct(s); len(due) > 0 {
			in, none = due[0], false
		}
	})
	return in, none, err
}

// anybody draws a participant of the market.
func (h *history) anybody() tongma.ParticipantID {
	for {
		if who := everybody[h.rand.IntN(people)]; h.market.has(who) {
			return who
		}
	}
}

func (h *history) newKey() string {
	h.operator.keys++
	return fmt.Sprintf("op%d", h.operator.keys)
}

// twice does an act of the office at a switch, and in some cases repeats it.
func (h *history) twice(what string, do func(ctx context.Context, o *office.Office) error, reasons ...tongma.Reason) {
	again := h.rand.IntN(3) == 0
	run := func() {
		p := h.serving()
		h.act(p, what, 20*time.Second, func(ctx context.Context, p *plant) error { return do(ctx, p.office) }, func(err error) { h.mayFail(p, what, err, reasons...) })
	}
	run()
	if again {
		h.after(between(h.rand, time.Millisecond, 20*time.Second), run)
	}
}

// fund deposits for a participant, or withdraws.
func (h *history) fund() {
	f := office.Funds{Key: h.newKey(), Participant: h.anybody(), Amount: tongma.Money{Minor: 1 + h.rand.Int64N(20000), Currency: currencies[h.rand.IntN(2)]}}
	h.twice("deposit", func(ctx context.Context, o *office.Office) error {
		_, err := o.Deposit(ctx, f)
		return err
	}, tongma.NoAccount)
	if h.rand.IntN(2) == 0 {
		back := f
		back.Key, back.Amount.Minor = h.newKey(), 1+h.rand.Int64N(f.Amount.Minor)
		h.after(between(h.rand, time.Second, time.Minute), func() {
			h.twice("withdraw", func(ctx context.Context, o *office.Office) error {
				_, err := o.Withdraw(ctx, back)
				return err
			}, tongma.NoAccount, tongma.ParticipantSuspended, tongma.AmountInvalid, tongma.OverCap)
		})
	}
}

// newCap has one person propose a cap, and others decide on it: another one, or the
// same under a name that looks like another.
func (h *history) newCap() {
	r := office.CapRequest{Key: h.newKey(), Participant: h.anybody(), By: "ann", Cap: tongma.Money{Minor: 100 * []int64{0, 30, 150, 400, 2000}[h.rand.IntN(5)], Currency: currencies[h.rand.IntN(2)]}}
	h.twice("propose a cap", func(ctx context.Context, o *office.Office) error {
		_, err := o.ProposeCap(ctx, r)
		return err
	}, tongma.NoAccount)
	for range 1 + h.rand.IntN(2) {
		c, reject := office.CapCheck{Key: r.Key, By: []string{"Ann ", "bob", "bob", "eve"}[h.rand.IntN(4)]}, h.rand.IntN(4) == 0
		h.after(between(h.rand, time.Millisecond, 40*time.Second), func() {
			h.twice("decide on a cap", func(ctx context.Context, o *office.Office) (err error) {
				if reject {
					_, err = o.RejectCap(ctx, c)
				} else {
					_, err = o.ApproveCap(ctx, c)
				}
				if tongma.ReasonOf(err) == tongma.CapChanged {
					h.mu.Lock()
					h.features[CapStale]++
					h.mu.Unlock()
				}
				return err
			}, tongma.FieldInvalid, tongma.ProposalUnknown, tongma.StateConflict, tongma.MakerIsChecker, tongma.CapChanged)
		})
	}
}

// stand has a person suspend somebody, or resume.
func (h *history) stand() {
	s := office.Standing{Participant: h.anybody(), By: "ann", Why: "as agreed"}
	suspend := h.rand.IntN(3) == 0
	if !suspend {
		for _, who := range everybody {
			if h.oracle.kept[who] {
				s.Participant = who
			}
		}
	}
	h.twice("stand", func(ctx context.Context, o *office.Office) (err error) {
		if suspend {
			_, err = o.Suspend(ctx, s)
		} else {
			_, err = o.Resume(ctx, s)
		}
		return err
	}, tongma.StateConflict)
}

// rule is a version of the directory, adopted by whoever serves. together has it
// adopted twice at once, and by every switch that serves.
func (h *history) rule(m market, together bool) {
	d, err := h.registry.Add([]byte(m.source()))
	if err != nil {
		h.fail("directory", "%v", err)
		return
	}
	if d.Version() > uint64(len(h.markets)) {
		h.markets = append(h.markets, m)
	}
	h.tell("directory %d: %+v", d.Version(), m)
	p := h.serving()
	if p == nil || (p.adopting > 0 && !together) {
		return
	}
	h.adopt(p, d)
	if together {
		h.after(between(h.rand, 0, 5*time.Millisecond), func() { h.adopt(p, d) })
	}
}

func (h *history) adopt(p *plant, d *schemes.Directory) {
	if p.dead {
		return
	}
	p.adopting++
	if p.adopting > 1 {
		h.features[AdoptedTogether]++
	}
	h.act(p, "adopt", 20*time.Second, func(ctx context.Context, p *plant) error { return p.engine.Adopt(ctx, d) }, func(err error) {
		p.adopting--
		p.half = err != nil && d.Version() == h.registry.Current().Version()
		h.mayFail(p, "adopt", err, tongma.StateConflict)
	})
}
