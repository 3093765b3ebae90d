package agentsim

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/iso20022"
)

// Causes of a message that is refused as a whole, before anything moves.
var (
	errTaken = errors.New("the id stands for something else already")
	errDeaf  = errors.New("nothing was taken")
)

// silence is a connection that ends without an answer.
type silence struct{ after time.Duration }

// worker puts one change together; the bank is not touched until it is applied.
type worker struct {
	b       *bank
	now     time.Time
	zone    *time.Location
	out     change
	strikes *striker
	rules   Rules
	twice   map[string]bool      // instructions of this order that were taken before, and are refused for it
	spend   map[accountKey]int64 // what movements of this change add to a balance
	silent  *silence
}

func (b *bank) worker(now time.Time, zone *time.Location, rules Rules) *worker {
	return &worker{b: b, now: now, zone: zone, rules: rules, twice: map[string]bool{}, out: change{At: now.UnixMilli()}, strikes: b.striker(), spend: map[accountKey]int64{}}
}

// done closes the change.
func (w *worker) done() *change {
	w.out.Faults = w.strikes.spent()
	return &w.out
}

// order works out what an order changes: nothing if it was taken before. An error
// means that it is refused as a whole and nothing of it is known afterwards.
func (w *worker) order(o *iso20022.Order, document []byte) error {
	sum := sha256.Sum256(document)
	m := &message{ID: o.ID, About: string(o.Definition), Digest: hex.EncodeToString(sum[:])}
	if w.rules.Duplicates == RefuseDuplicatesDay {
		m.Taken = w.day(0)
	}
	if old := w.messageBefore(o.ID); old != nil && !w.rules.refuse() {
		return w.again(old, m, o)
	} else if old != nil {
		return w.refuseAll(o)
	}
	for i := range o.Legs {
		l := &o.Legs[i]
		m.Legs = append(m.Legs, l.ID)
		switch t := w.legBefore(l.ID); {
		case t != nil && w.rules.refuse():
			w.twice[l.ID] = true
		case t != nil && !w.same(t, o, l):
			return errTaken
		}
	}
	if len(w.twice) > 0 && o.Definition == iso20022.Pacs029 { // whole or not at all
		return w.refuseAll(o)
	}
	if _, deaf := w.strikes.strike(Deaf, w.touched(o)...); deaf {
		return errDeaf
	}
	w.out.Message = m
	if o.Definition == iso20022.Pacs029 {
		w.whole(o)
	} else {
		for i := range o.Legs {
			if w.legBefore(o.Legs[i].ID) == nil {
				w.leg(o, &o.Legs[i])
			}
		}
	}
	w.hush(o)
	return nil
}

// hush has the connection end without an answer, if a fault says so.
func (w *worker) hush(o *iso20022.Order) {
	if f, silent := w.strikes.strike(Silent, w.touched(o)...); silent {
		w.silent = &silence{time.Duration(f.DelayMillis) * time.Millisecond}
	}
}

// refuseAll refuses a message as a duplicate: nothing of it is carried out.
func (w *worker) refuseAll(o *iso20022.Order) error {
	if _, deaf := w.strikes.strike(Deaf, w.touched(o)...); deaf {
		return errDeaf
	}
	for i := range o.Legs {
		w.twice[o.Legs[i].ID] = true
	}
	w.hush(o)
	return nil
}

// again answers a message that was taken before. Only the time and the mark of a
// possible duplicate may differ, so the legs decide, not the bytes.
func (w *worker) again(old, m *message, o *iso20022.Order) error {
	if old.About != m.About || len(old.Legs) != len(o.Legs) {
		return errTaken
	}
	for i := range o.Legs {
		t := w.b.transactions[o.Legs[i].ID]
		if old.Legs[i] != o.Legs[i].ID || t == nil || !w.same(t, o, &o.Legs[i]) {
			return errTaken
		}
	}
	if _, deaf := w.strikes.strike(Deaf, w.touched(o)...); deaf {
		return errDeaf
	}
	w.hush(o)
	return nil
}

// ends returns the accounts of a leg; nil for one that there is not.
func (w *worker) ends(l *iso20022.OrderLeg) (from, to *Account) {
	code := l.Amount.Currency.Code()
	side := func(p iso20022.Party) *Account {
		if p.IsZero() {
			return w.b.only(code, func(a *Account) bool { return a.Kind == Settlement })
		}
		return w.b.find(p, code)
	}
	return side(l.Debtor), side(l.Creditor)
}

// touched lists the numbers of the accounts that an order is about.
func (w *worker) touched(o *iso20022.Order) (all []string) {
	for i := range o.Legs {
		from, to := w.ends(&o.Legs[i])
		for _, a := range []*Account{from, to} {
			if a != nil {
				all = append(all, a.ID)
			}
		}
	}
	return all
}

// same tells whether a leg is the instruction that its id stands for.
func (w *worker) same(t *transaction, o *iso20022.Order, l *iso20022.OrderLeg) bool {
	x := w.transaction(o, l)
	return t.From == x.From && t.To == x.To && t.Currency == x.Currency && t.Minor == x.Minor
}

func (w *worker) transaction(o *iso20022.Order, l *iso20022.OrderLeg) transaction {
	t := transaction{ID: l.ID, UETR: l.UETR, Message: o.ID, About: string(o.Definition), Currency: l.Amount.Currency.Code(), Minor: l.Amount.Minor}
	if w.rules.Duplicates == RefuseDuplicatesDay {
		t.Taken = w.day(0)
	}
	from, to := w.ends(l)
	if from != nil {
		t.From = from.ID
	}
	if to != nil {
		t.To = to.ID
	}
	return t
}

// leg decides on one instruction.
func (w *worker) leg(o *iso20022.Order, l *iso20022.OrderLeg) {
	t := w.transaction(o, l)
	if f, ok := w.strikes.strike(LateValue, t.From, t.To); ok {
		t.Value = f.Days
	}
	switch code, reason := w.objection(o, l, &t); {
	case code != "":
		t.Code, t.Reason = codeRejected, code+" "+reason
	case w.waits(&t):
		t.Code = codePending
	default:
		w.book(&t)
	}
	w.out.Transactions = append(w.out.Transactions, t)
}

// objection says why an instruction cannot be carried out at all: a code of the
// external list of reasons, and words.
func (w *worker) objection(o *iso20022.Order, l *iso20022.OrderLeg, t *transaction) (code, reason string) {
	switch {
	case t.From == "":
		return "AC02", "no such debtor account"
	case t.To == "":
		return "AC03", "no such creditor account"
	case t.From == t.To:
		return "AC03", "debtor and creditor account are one"
	case w.passed(o):
		return "DT01", "the settlement date has passed"
	}
	if o.Definition == iso20022.Pacs010 {
		from := w.b.accounts[accountKey{t.From, t.Currency}]
		if from.Mandate == "" || l.Mandate() != from.Mandate {
			return "MD01", "no mandate"
		}
	}
	if f, ok := w.strikes.strike(Reject, t.From, t.To); ok {
		return cmp.Or(f.Code, "AM04"), "refused by order of the operator"
	}
	return "", ""
}

// waits tells whether a fault puts the instruction off, and until when.
func (w *worker) waits(t *transaction) bool {
	if f, ok := w.strikes.strike(Late, t.From, t.To); ok {
		t.Due = w.now.UnixMilli() + max(f.DelayMillis, 1)
		return true
	}
	_, never := w.strikes.strike(Never, t.From, t.To)
	return never
}

// book carries an instruction out, as well as the faults let it.
func (w *worker) book(t *transaction) {
	minor, code, times := t.Minor, codeSettled, 1
	if f, ok := w.strikes.strike(Partial, t.From, t.To); ok {
		minor, code = min(cmp.Or(f.Minor, t.Minor/2), t.Minor), codeChanged
	}
	if f, ok := w.strikes.strike(WrongAmount, t.From, t.To); ok {
		minor += f.Minor
	}
	if _, ok := w.strikes.strike(Double, t.From, t.To); ok {
		times = 2
	}
	t.Due = 0
	if minor <= 0 || minor > maxBalance || w.room(t.From, t.Currency)/int64(times) < minor {
		t.Code, t.Reason = codeRejected, "AM04 not enough money"
		return
	}
	for range times {
		t.Ref = w.move(t, minor)
	}
	t.Code, t.Settled = code, w.day(t.Value)
}

// room is what an account can pay after the movements of this change.
func (w *worker) room(id, currency string) int64 {
	k := accountKey{id, currency}
	return w.b.accounts[k].room() + w.spend[k]
}

func (w *worker) day(later int) string {
	return w.now.In(w.zone).AddDate(0, 0, later).Format(time.DateOnly)
}

func (w *worker) move(t *transaction, minor int64) (ref string) {
	m := Movement{Number: uint64(len(w.b.movements) + len(w.out.Movements) + 1), From: t.From, To: t.To, Currency: t.Currency, Minor: minor,
		ID: t.ID, UETR: t.UETR, Message: t.Message, At: w.out.At, Booked: w.day(0), Value: w.day(t.Value)}
	w.spend[accountKey{t.From, t.Currency}] -= minor
	w.spend[accountKey{t.To, t.Currency}] += minor
	w.out.Movements = append(w.out.Movements, m)
	return m.Ref()
}

// whole settles a pacs.029: every movement, debits first, or none.
func (w *worker) whole(o *iso20022.Order) {
	all := make([]transaction, len(o.Legs))
	refused := ""
	order := make([]int, len(o.Legs))
	for i := range o.Legs {
		all[i], order[i] = w.transaction(o, &o.Legs[i]), i
		if code, reason := w.objection(o, &o.Legs[i], &all[i]); code != "" {
			all[i].Reason, refused = code+" "+reason, code
		}
	}
	slices.SortStableFunc(order, func(i, j int) int { // those with a debtor first
		return cmp.Compare(b2i(o.Legs[i].Debtor.IsZero()), b2i(o.Legs[j].Debtor.IsZero()))
	})
	spent := map[accountKey]int64{}
	for _, i := range order {
		t := &all[i]
		k := accountKey{t.From, t.Currency}
		if refused == "" && w.room(t.From, t.Currency)-spent[k] < t.Minor {
			t.Reason, refused = "AM04 not enough money", "AM04"
		}
		spent[k] += t.Minor
		spent[accountKey{t.To, t.Currency}] -= t.Minor
	}
	for _, i := range order {
		t := &all[i]
		if t.Code = codeRejected; refused == "" {
			t.Code, t.Ref, t.Settled = codeSettled, w.move(t, t.Minor), w.day(0)
		} else if t.Reason == "" {
			t.Reason = "NARR the sheet settles whole or not at all"
		}
	}
	w.out.Transactions = append(w.out.Transactions, all...)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// due books what was put off and is due now, in the order in which it fell due.
func (w *worker) due() {
	var waiting []*transaction
	for _, t := range w.b.transactions {
		if t.Due > 0 && t.Due <= w.now.UnixMilli() {
			waiting = append(waiting, t)
		}
	}
	slices.SortFunc(waiting, func(x, y *transaction) int { return cmp.Or(cmp.Compare(x.Due, y.Due), cmp.Compare(x.ID, y.ID)) })
	for _, t := range waiting {
		next := *t
		w.book(&next)
		w.out.Transactions = append(w.out.Transactions, next)
	}
}

// fund moves money between an account and the agent's own: more than zero into the
// account. The same key again is the same movement.
func (w *worker) fund(key, id, currency string, minor int64) error {
	a := w.b.accounts[accountKey{id, currency}]
	own := w.b.only(currency, func(a *Account) bool { return a.Kind == Own })
	switch {
	case a == nil || own == nil || a == own:
		return &tongma.Error{Op: "agentsim.fund", Reason: tongma.NoAccount, Field: "/account"}
	case minor == 0 || minor < -maxBalance || minor > maxBalance:
		return &tongma.Error{Op: "agentsim.fund", Reason: tongma.AmountInvalid, Field: "/amount_minor"}
	case minor < 0 && a.room() < -minor:
		return &tongma.Error{Op: "agentsim.fund", Reason: tongma.FundsMissing, Field: "/amount_minor"}
	}
	t := transaction{ID: key, From: own.ID, To: a.ID, Currency: currency}
	if minor < 0 {
		t.From, t.To, minor = a.ID, own.ID, -minor
	}
	if old, ok := w.b.funded[key]; ok {
		if old.From != t.From || old.To != t.To || old.Currency != currency || old.Minor != minor {
			return &tongma.Error{Op: "agentsim.fund", Reason: tongma.ExistsOtherContent, Field: "/key"}
		}
		return nil
	}
	w.move(&t, minor)
	return nil
}
