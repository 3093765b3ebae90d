package sim

import (
	"cmp"
	"math/rand/v2"
	"time"
)

// link is a way between two of the world. Messages on it take milliseconds, and
// are lost, doubled, held up and overtaken as the plan says.
type link struct {
	name  string
	fault Fault // what its partition counts as
	cut   int   // partitions of now
	last  [2]time.Duration

	slowest time.Duration // how long a message that is held up may take; zero: 40 s
}

// direction is which way a message goes on a link.
type direction uint8

const (
	asking    direction = iota // towards who is asked
	answering                  // back
)

// send has deliver run when the message comes, if it does. r is the stream of
// whatever the message is about.
func (h *history) send(l *link, way direction, r *rand.Rand, deliver func()) {
	copies := 1
	if chance(r, h.rate(h.plan.duplicate)) {
		copies = 2
		if way == asking {
			h.count(RequestDuplicated)
		}
	}
	for range copies {
		h.pass(l, way, r, deliver)
	}
}

func (h *history) pass(l *link, way direction, r *rand.Rand, deliver func()) {
	lost := chance(r, h.rate(h.plan.drop))
	delay := between(r, 300*time.Microsecond, 30*time.Millisecond)
	if chance(r, h.rate(h.plan.late)) {
		delay = between(r, time.Second, cmp.Or(l.slowest, 40*time.Second))
		if way == answering {
			h.count(AnswerLate)
		}
	}
	if l.cut > 0 {
		h.count(l.fault)
		return
	}
	if lost {
		h.count([...]Fault{RequestDropped, AnswerDropped}[way])
		return
	}
	due := h.now() + delay
	if due < l.last[way] {
		h.count(Reordered)
	}
	l.last[way] = max(due, l.last[way])
	h.after(delay, func() {
		if l.cut > 0 {
			h.count(l.fault)
			return
		}
		deliver()
	})
}

// spell makes something true for a time drawn from [low, high), or until all is
// healed: begin now, end then.
func (h *history) spell(low, high time.Duration, what string, begin, end func()) {
	h.tell("%s", what)
	begin()
	done := false
	finish := func() {
		if !done {
			done = true
			h.tell("%s: over", what)
			end()
		}
	}
	h.after(between(h.rand, low, high), finish)
	h.operator.onHeal = append(h.operator.onHeal, finish)
}
