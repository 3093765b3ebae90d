package office

import (
	"context"
	"sync"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/journal"
)

// past is what the Book has no use for and people ask: when something was
// proposed, who suspended whom, why, and on what evidence a dispute went on. It is read from the journal when somebody
// asks, and from where the last one stopped.
type past struct {
	mu       sync.Mutex // guards all below, and is held while reading
	chain    *journal.Chain
	caps     []CapView      // in order; Key, Participant and the times only
	capAt    map[string]int // by key
	standing map[tongma.ParticipantID]standingChange
	disputes map[disputeKey]tongma.PaymentID // their ids
	moves    map[tongma.PaymentID][]DisputeMove
}

// disputeKey is who raised a dispute under which key.
type disputeKey struct {
	raiser tongma.ParticipantID
	key    string
}

// standingChange is the latest suspension or resumption of a participant.
type standingChange struct {
	at      time.Time
	by, why string
}

func (p *past) start(shard uint16) {
	p.chain = journal.NewChain(journal.Position{Shard: shard})
	p.capAt, p.standing, p.disputes = map[string]int{}, map[tongma.ParticipantID]standingChange{}, map[disputeKey]tongma.PaymentID{}
	p.moves = map[tongma.PaymentID][]DisputeMove{}
}

// look reads what is new, and shows all. see keeps nothing of it. If reading stops
// half way the next look goes on there: a batch is taken in whole.
func (p *past) look(ctx context.Context, o *Office, see func(*past)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := o.entriesBehind(ctx, p.chain, func(e *clearing.Entry) error {
		p.add(e)
		return nil
	})
	if err == nil {
		see(p)
	}
	return err
}

func (p *past) add(e *clearing.Entry) {
	at := time.UnixMilli(e.Time).UTC()
	switch e.Kind {
	case clearing.KindCapProposed:
		p.capAt[e.Key] = len(p.caps)
		p.caps = append(p.caps, CapView{Key: e.Key, Participant: e.Debtor, ProposedAt: at})
	case clearing.KindCapApproved, clearing.KindCapRejected:
		p.caps[p.capAt[e.Key]].DecidedAt = at
	case clearing.KindSuspend, clearing.KindResume:
		p.standing[e.Debtor] = standingChange{at, e.Maker, e.SchemeRef}
	case clearing.KindDispute:
		p.disputes[disputeKey{e.Asker, e.Key}] = e.Payment
		p.moves[e.Payment] = append(p.moves[e.Payment], moveOf(e, at))
	case clearing.KindDisputeStep:
		p.moves[e.Payment] = append(p.moves[e.Payment], moveOf(e, at))
	case clearing.KindShort:
		p.standing[e.Debtor] = standingChange{at, "", "short of " + e.Amount.String() + " in " + e.Window.String()}
	}
}
