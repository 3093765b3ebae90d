package switching

import (
	"context"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schemes"
	"github.com/tongma/tongma/schemes/calendar"
)

// Adopt brings a directory version into force: what of its rules differs from the
// books becomes entries. Suspensions come first and resumptions last, so that
// nobody may debit in between under half of the rules. What the directory no
// longer has, a currency or a participant, keeps its account with a cap of zero.
//
// Only who was suspended by the directory itself is resumed by it, once a version is
// in force that suspends it no more, even if an adoption was cut off in between
// (TestAResumptionThatWasCutOffIsMadeUpFor). A suspension by a person, or of somebody
// who did not pay, is not the directory's to end, least of all by a restart: the
// books refuse that (TestARestartEndsNobodysSuspension).
//
// Versions come into force one after the other, and each is kept first where a
// successor finds it (Options.Keep), before any entry goes by it: whoever reads an
// entry can have the directory that it was made by. Dealers that a version brings are
// asked for quotes from then on, and those that it drops no more.
func (e *Engine) Adopt(ctx context.Context, d *schemes.Directory) error {
	select {
	case e.adopting <- struct{}{}:
		defer func() { <-e.adopting }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if e.opts.Keep != nil {
		if err := e.opts.Keep(ctx, d); err != nil {
			return err
		}
	}
	// Before the entry that names it: a payment that is held behind that goes by no
	// earlier version, its fees among the rest. An earlier one the books will refuse.
	if at := e.Directory(); at == nil || d.Version() > at.Version() {
		e.inForce.Store(d)
	}
	a := adoption{to: d}
	standing := func() error { return e.ledger.Read(ctx, func(b *clearing.Book) { a.standing = b.Positions() }) }
	if err := roomFor(ctx, standing); err != nil {
		return err
	}
	for _, at := range a.left() {
		e.opts.Logger.Warn("not in the directory any more, and not settled: its position stays, its cap is zero, and settling it takes its account at the agent or two people",
			"participant", string(at.Participant), "currency", at.Currency.Code(), "position", at.Position, "reserved", at.Reserved, "prefunded", at.Prefunded)
	}
	for _, entry := range a.entries() {
		var r clearing.Result
		if err := roomFor(ctx, func() (err error) { r, err = e.ledger.Submit(ctx, entry); return err }); err != nil {
			return err
		}
		if err := e.accepted(&entry, r.Reason); err != nil {
			return err
		}
	}
	e.desks.follow(d, e.opts.Dealer)
	return nil
}

// roomFor asks the books until they take something more: a version is not to stay half in
// force because many others were asking too.
func roomFor(ctx context.Context, ask func() error) error {
	for {
		err := ask()
		if tongma.ReasonOf(err) != tongma.Overloaded {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(overloadPause):
		}
	}
}

// accepted sorts what the books say of a rule. A sponsor that cannot change while
// positions are open changes with a later version or start; how a window is settled
// follows when it is closed.
func (e *Engine) accepted(entry *clearing.Entry, reason tongma.Reason) error {
	switch {
	case reason == tongma.NoReason, entry.Kind == clearing.KindOpen && reason == tongma.ExistsOtherContent:
		return nil
	case entry.Kind == clearing.KindSponsor && (reason == tongma.PositionsOpen || reason == tongma.StateConflict):
		e.opts.Logger.Warn("sponsor not changed yet", "participant", string(entry.Debtor), "reason", reason.String())
		return nil
	}
	detail := "directory version is older than the books"
	if entry.Kind == clearing.KindDirectory && reason == tongma.ExistsOtherContent {
		reason = tongma.SetupInvalid
		detail = "directory version is another one than that by which the books go under its number: bring that one back; or start once more with another comment in this one, which is then the next version"
	}
	return &tongma.Error{Op: "switch.Adopt", Reason: reason, Detail: detail}
}

// adoption is the way from the books to a directory version.
type adoption struct {
	to       *schemes.Directory
	standing []clearing.Position
}

// left returns the accounts of participants that the directory no longer has, as far as
// something is open on them: nothing of it is lost with the name
// (TestWhoLeavesTheDirectoryLeavesNothingBehind). The accounts of other shards are in none.
func (a *adoption) left() (open []clearing.Position) {
	for _, at := range a.standing {
		if _, named := a.to.Participant(at.Participant); !named && !clearing.IsTransit(at.Participant) && (at.Position != 0 || at.Reserved != 0 || at.Prefunded != 0) {
			open = append(open, at)
		}
	}
	return open
}

// entries returns what must be written, in order. What stands already is among it.
func (a *adoption) entries() []clearing.Entry {
	entries := []clearing.Entry{{Kind: clearing.KindDirectory, Directory: a.to.Version(), Hash: a.to.Hash()}}
	for _, m := range a.to.Models() {
		// That whose id is empty was opened with the books; that of disputes is for those
		// who have rules of disputes.
		if _, disputes := a.to.Disputes(); m.ID != schemes.DefaultModel && (disputes || m.ID != a.to.DisputeModel()) {
			entries = append(entries, clearing.Entry{Kind: clearing.KindOpen, Model: m.ID, Method: methodOf(m.Method)})
		}
	}
	for _, p := range a.to.Participants() {
		if p.Suspended {
			entries = append(entries, clearing.Entry{Kind: clearing.KindSuspend, Debtor: p.ID})
		}
	}
	// Of several shards, whose cap stands here follows from who settles for whom.
	entries = append(entries, a.sponsors()...)
	entries = append(entries, a.caps()...)
	for _, p := range a.to.Participants() {
		if !p.Suspended {
			entries = append(entries, clearing.Entry{Kind: clearing.KindResume, Debtor: p.ID})
		}
	}
	return entries
}

// methodOf is a method as entries carry it: zero for multilateral.
func methodOf(m schemes.Method) calendar.Model {
	return [...]calendar.Model{calendar.NoModel, calendar.Bilateral, calendar.Gross}[m%3]
}

// caps returns the directory's caps, of which the books of a shard that somebody is not
// at home in write zero, and caps of zero for the accounts that it no
// longer has.
func (a *adoption) caps() (entries []clearing.Entry) {
	limit := func(p tongma.ParticipantID, minor int64, c tongma.Currency) {
		entries = append(entries, clearing.Entry{Kind: clearing.KindCap, Debtor: p, Amount: tongma.Money{Minor: minor, Currency: c}})
	}
	for _, at := range a.standing {
		has := false
		if p, ok := a.to.Participant(at.Participant); ok {
			_, has = p.Caps[at.Currency]
		}
		if at.Capped && !has {
			limit(at.Participant, 0, at.Currency)
		}
	}
	for _, p := range a.to.Participants() {
		for _, c := range tongma.Currencies() {
			if minor, ok := p.Caps[c]; ok {
				limit(p.ID, minor, c)
			}
		}
	}
	return entries
}

// sponsors returns who settles for whom: first who no longer has the sponsor that
// it had, then who has one, so that nobody is both for a moment.
func (a *adoption) sponsors() (entries []clearing.Entry) {
	had := map[tongma.ParticipantID]tongma.ParticipantID{}
	for _, at := range a.standing {
		if at.Sponsor != "" {
			had[at.Participant] = at.Sponsor
		}
	}
	ended := map[tongma.ParticipantID]bool{}
	for _, at := range a.standing {
		p, ok := a.to.Participant(at.Participant)
		if sponsor := had[at.Participant]; sponsor != "" && (!ok || p.Sponsor != sponsor) && !ended[at.Participant] {
			ended[at.Participant] = true
			entries = append(entries, clearing.Entry{Kind: clearing.KindSponsor, Debtor: at.Participant})
		}
	}
	for _, p := range a.to.Participants() {
		if p.Sponsor != "" {
			entries = append(entries, clearing.Entry{Kind: clearing.KindSponsor, Debtor: p.ID, Creditor: p.Sponsor})
		}
	}
	return entries
}
