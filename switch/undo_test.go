package switching

import (
	"context"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/journal"
	"github.com/tongma/tongma/schemes"
)

// patient is a market whose payers may take ten seconds to confirm.
func patient(t testing.TB) *schemes.Directory {
	d := market(t, 1, fast)
	for _, s := range d.Schemes() {
		s.ConfirmWithin = 10 * time.Second
	}
	return d
}

// TestAReversalThatIsWrittenLateReachesWhoDrives: the acquirer's time ends while its
// reversal is on the way to the disk, and the payer is still confirming. Nobody waits
// for the end of that: the payer could confirm what is being undone.
func TestAReversalThatIsWrittenLateReachesWhoDrives(t *testing.T) {
	for what, stall := range map[string]time.Duration{"a moment later": 0, "longer than anybody looks": rereadFor + 100*time.Millisecond} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			store := &slow{Memory: journal.NewMemory()}
			b := over(t, store, func(o *Options) { o.Registry = schemes.NewMemoryRegistry(patient(t)) })
			b.scheme.say(tongma.OpAuthorise, waiting)
			for range 2000 {
				b.scheme.say(tongma.OpInquire, waiting)
			}
			a := b.do(payRequest("k1", 1, 1250))
			b.want(a, tongma.Pending, tongma.PayerConfirming)
			store.shut.Store(true)
			_, err := b.engine.Do(context.Background(), tongma.Request{Op: tongma.OpReverse, From: "acq", OfKey: "k1", Budget: 40 * time.Millisecond})
			if tongma.ReasonOf(err) != tongma.JournalInDoubt {
				t.Fatal(err)
			}
			time.Sleep(stall)
			store.shut.Store(false)
			b.want(b.ends(a.Payment), tongma.ReversedBack, tongma.ReversedByAcquirer)
			b.stands("wallet", 0, 0)
		})
	}
}

// TestAnEndThatTheJournalHeldUpIsToldToo: the scheme has said yes, and the asker is told
// "pending" because the journal stands still. The posting is on its way already, without
// a word that somebody waits for it; its asker hears of it all the same, and once.
func TestAnEndThatTheJournalHeldUpIsToldToo(t *testing.T) {
	store := &slow{Memory: journal.NewMemory()}
	p := overBus(t, store, startBus(t), t.TempDir(), schemes.NewMemoryRegistry(patient(t)))
	defer p.stop()
	p.late("acq", "k0", 1)
	p.scheme.say(tongma.OpAuthorise, reply{act: true, answer: tongma.Answer{Outcome: tongma.Approved}, after: func() { store.shut.Store(true) }})
	a := p.do(payRequest("k1", 2, 1250))
	p.want(a, tongma.Pending, tongma.SchemeSilent)
	store.shut.Store(false)
	a = p.ends(a.Payment)
	p.want(a, tongma.Paid, tongma.NoReason)
	p.hears("acq", 2, a)
	p.hears("acq", 3, p.late("acq", "k2", 3))
}
