package clearing

import (
	"strings"

	"github.com/tongma/tongma"
)

// auditDispute is one dispute, as the audit follows it.
type auditDispute struct {
	of       *auditPayment
	amount   tongma.Money
	other    tongma.Money // of two currencies: what the debtor gets back
	model    string
	stage    uint8
	deadline int64
	maker    string
	window   *auditWindow // that the chargeback is in
	fees     []Leg        // that went back with it
}

// auditMoves are the steps that there are, by the numbers of the stages, and whose
// they are: of the raiser, the respondent, a clock, or one of two people.
var auditMoves = map[[2]uint8]string{
	{1, 2}: "respondent", {1, 10}: "respondent", {1, 11}: "clock", {1, 12}: "raiser",
	{2, 3}: "raiser", {2, 10}: "respondent", {2, 12}: "raiser", {2, 13}: "clock",
	{3, 4}: "respondent", {3, 10}: "respondent", {3, 11}: "clock", {3, 12}: "raiser",
	{4, 5}: "maker", {4, 6}: "maker", {4, 10}: "respondent", {4, 12}: "raiser",
	{5, 4}: "checker", {5, 14}: "checker", {6, 4}: "checker", {6, 15}: "checker",
}

// raised looks at a new dispute.
func (a *Auditor) raised(e *Entry) {
	k := auditKey{e.Asker, e.Key}
	if _, twice := a.keys[k]; twice {
		a.find(checkKey, "the key of %s was used before", e.Asker)
	}
	a.keys[k] = struct{}{}
	if a.payments[e.Payment] != nil || a.disputes[e.Payment] != nil || e.Payment.IsZero() {
		a.find(checkPayment, "%s was used before", e.Payment)
		return
	}
	if open := a.open[e.Model]; open == nil || e.AuthWindow != open.id {
		a.find(checkAuth, "names %s, %s is open", e.AuthWindow, open.name())
	}
	p := a.payments[e.Original]
	switch {
	case p == nil || p.debtor == nil || p.refund || p.phase != KindPost:
		a.find(checkDispute, "%s is not a payment that was posted", e.Original)
		return
	case e.Asker != p.debtor.who || e.Stage != 1:
		a.find(checkDispute, "raised by %s in stage %d, the payer's network is %s", e.Asker, e.Stage, p.debtor.who)
	case e.Amount.Currency != p.creditor.currency || e.Amount.Minor <= 0 || p.given+p.giving+p.disputed+p.chargedBack+e.Amount.Minor > p.limit():
		a.find(checkDispute, "%d + %d + %d + %d + %d is more than the %d that were paid", p.given, p.giving, p.disputed, p.chargedBack, e.Amount.Minor, p.limit())
	}
	a.samePart(e, p)
	a.add(&p.disputedOther, e.Target.Minor)
	a.disputes[e.Payment] = &auditDispute{of: p, amount: e.Amount, other: e.Target, model: e.Model, stage: 1, deadline: e.Expiry}
	a.add(&p.disputed, e.Amount.Minor)
}

// stepped looks at a step of a dispute, and has the money go back if that is its end.
func (a *Auditor) stepped(e *Entry) {
	d := a.disputes[e.Payment]
	if d == nil {
		a.find(checkDispute, "%s is no dispute", e.Payment)
		return
	}
	stage := uint8(e.Stage)
	actor := auditMoves[[2]uint8{d.stage, stage}]
	a.checkActor(e, d, actor)
	if e.Amount != d.amount || e.Target != d.other || e.Debtor != d.of.debtor.who || e.Creditor != d.of.creditor.who {
		a.find(checkSame, "%d of %s and %s, disputed are %d of %s and %s", e.Amount.Minor, e.Debtor, e.Creditor, d.amount.Minor, d.of.debtor.who, d.of.creditor.who)
	}
	d.stage, d.deadline = stage, e.Expiry
	if d.maker = ""; actor == "maker" {
		d.maker = e.Maker
	}
	back := stage == 10 || stage == 11 || stage == 14
	if stage >= 10 {
		a.add(&d.of.disputed, -d.amount.Minor)
		a.add(&d.of.disputedOther, -d.other.Minor)
	}
	if !back || e.Op == 0 { // as older journals have it
		a.sameFees(e, nil)
	}
	if !back {
		if e.Window != 0 {
			a.find(checkWindow, "%s moves nothing, but names %s", e.Kind, e.Window)
		}
		return
	}
	a.add(&d.of.chargedBack, d.amount.Minor)
	a.add(&d.of.backOther, d.other.Minor)
	w := a.open[d.model]
	if w == nil || e.Window != w.id {
		a.find(checkWindow, "charged back in %s, %s is open", e.Window, w.name())
	}
	if d.of.dealer != nil {
		a.moves(w, d.of.creditor, d.of.dealer, d.amount.Minor)
		a.moves(w, a.balance(d.of.dealer.who, d.other.Currency), d.of.debtor, d.other.Minor)
	} else {
		a.moves(w, d.of.creditor, d.of.debtor, d.amount.Minor)
	}
	a.add(&a.total(d.amount.Currency).ChargedBack, d.amount.Minor)
	d.window = w
	if e.Op != 0 {
		a.sameFees(e, d.of.feesBack(d.of.given+d.of.feesGone, d.amount.Minor))
		a.add(&d.of.feesGone, d.amount.Minor)
		d.fees = e.Legs
		a.moveFees(e, w, d.of.first.Currency)
	}
}

// checkActor holds that a step was taken by whose turn it was, in time.
func (a *Auditor) checkActor(e *Entry, d *auditDispute, actor string) {
	person := func(name string) string { return strings.ToLower(strings.TrimSpace(name)) }
	who := map[string]tongma.ParticipantID{"raiser": d.of.debtor.who, "respondent": d.of.creditor.who}[actor]
	late := d.deadline != 0 && e.Time > d.deadline
	switch {
	case actor == "":
		a.find(checkDispute, "from stage %d to %d", d.stage, e.Stage)
	case e.Asker != who:
		a.find(checkDispute, "to stage %d by %q, it is the turn of the %s", e.Stage, e.Asker, actor)
	case (actor == "clock") != late && d.stage <= 3:
		a.find(checkDispute, "to stage %d by the %s at %d, the deadline was %d", e.Stage, actor, e.Time, d.deadline)
	case actor == "maker" && person(e.Maker) == "":
		a.find(checkDispute, "nobody proposes the ruling")
	case actor == "checker" && (person(e.Checker) == "" || person(e.Checker) == person(d.maker) || e.Maker != d.maker):
		a.find(checkDispute, "ruled by %q, proposed by %q", e.Checker, d.maker)
	}
}
