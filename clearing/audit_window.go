package clearing

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"math/big"
	"slices"
	"strconv"

	"github.com/tongma/tongma"
)

// auditPair is one cell of the bilateral matrix.
type auditPair struct{ debtor, creditor *auditBalance }

// auditWindow is one window, as the audit adds it up: the matrix by pairs and,
// apart from it, the figure of each account.
type auditWindow struct {
	id              tongma.WindowID
	state           string
	opened, closed  uint64
	items           int64
	matrix          map[auditPair]int64
	nets            map[*auditBalance]int64
	due             map[*auditBalance]int64 // legs not confirmed yet
	done            map[*auditBalance]int64 // legs confirmed
	hash            [32]byte
	collected, paid map[tongma.Currency]int64
}

const (
	auditOpen       = "open"
	auditClosed     = "closed"
	auditInstructed = "instructed"
	auditSettled    = "settled"
)

func newAuditWindow(id tongma.WindowID, entry uint64) *auditWindow {
	return &auditWindow{id: id, state: auditOpen, opened: entry, matrix: map[auditPair]int64{}, nets: map[*auditBalance]int64{},
		due: map[*auditBalance]int64{}, done: map[*auditBalance]int64{}, collected: map[tongma.Currency]int64{}, paid: map[tongma.Currency]int64{}}
}

func (w *auditWindow) name() string {
	if w == nil {
		return "no window"
	}
	return w.id.String()
}

func (w *auditWindow) take(a *Auditor, debtor, creditor *auditBalance, amount int64) {
	w.matrix[auditPair{debtor, creditor}] += amount
	owes := w.nets[debtor]
	a.add(&owes, amount)
	w.nets[debtor] = owes
	due := w.nets[creditor] // read now: a participant may pay itself
	a.add(&due, -amount)
	w.nets[creditor] = due
}

func (a *Auditor) openWindow() *auditWindow {
	if len(a.windows) == 0 {
		return nil
	}
	return a.windows[len(a.windows)-1]
}

func (a *Auditor) opened(e *Entry) {
	if len(a.windows) > 0 || e.Window != 1 {
		a.find(checkWindows, "%s opens behind %s", e.Window, a.openWindow().name())
		return
	}
	a.windows = append(a.windows, newAuditWindow(1, e.Number))
}

// closed fixes the figures of the open window, and opens the next one.
func (a *Auditor) closed(e *Entry) {
	w := a.openWindow()
	if w == nil || e.Window != w.id {
		a.find(checkWindows, "%s closes, %s is open", e.Window, w.name())
		return
	}
	w.state, w.closed = auditClosed, e.Number
	w.hash = w.sheetHash()
	a.checkFigures(w)
	a.windows = append(a.windows, newAuditWindow(w.id+1, e.Number))
}

// checkFigures holds the matrix against the figures, and both against zero.
func (a *Auditor) checkFigures(w *auditWindow) {
	rows := map[*auditBalance]*big.Int{}
	row := func(b *auditBalance) *big.Int {
		if rows[b] == nil {
			rows[b] = new(big.Int)
		}
		return rows[b]
	}
	for pair, gross := range w.matrix {
		row(pair.debtor).Add(row(pair.debtor), big.NewInt(gross))
		row(pair.creditor).Sub(row(pair.creditor), big.NewInt(gross))
	}
	sums := map[tongma.Currency]*big.Int{}
	for _, b := range w.figures() {
		net := w.nets[b]
		if got := row(b); !got.IsInt64() || got.Int64() != net {
			a.find(checkMatrix, "%s: %s of %s: the matrix says %s, the figure is %d", w.id, b.who, b.currency, got, net)
		}
		addBig(sums, b.currency, net)
	}
	a.checkZero(sums, w.id.String()+": the figures")
}

func addBig(sums map[tongma.Currency]*big.Int, c tongma.Currency, n int64) {
	if sums[c] == nil {
		sums[c] = new(big.Int)
	}
	sums[c].Add(sums[c], big.NewInt(n))
}

func (a *Auditor) checkZero(sums map[tongma.Currency]*big.Int, what string) {
	for _, c := range slices.Sorted(maps.Keys(sums)) {
		if sums[c].Sign() != 0 {
			a.find(checkZeroSum, "%s of %s add up to %s", what, c, sums[c])
		}
	}
}

// figures returns the accounts of a window, by currency and participant.
func (w *auditWindow) figures() []*auditBalance {
	out := make([]*auditBalance, 0, len(w.nets))
	for b := range w.nets {
		out = append(out, b)
	}
	slices.SortFunc(out, func(x, y *auditBalance) int {
		return cmp.Or(cmp.Compare(x.currency.Code(), y.currency.Code()), cmp.Compare(x.who, y.who))
	})
	return out
}

// sheetHash is SHA-256 of the sheet as text: a title, the window, its entries
// [opened, closed), and a line "CUR participant net" for each account that was
// moved, by currency and participant; each line ends with a newline.
func (w *auditWindow) sheetHash() [32]byte {
	text := "tongma net sheet 1\n" +
		"window " + strconv.FormatUint(uint64(w.id), 10) + "\n" +
		"entries " + strconv.FormatUint(w.opened, 10) + " " + strconv.FormatUint(w.closed, 10) + "\n"
	for _, b := range w.figures() {
		text += b.currency.Code() + " " + string(b.who) + " " + strconv.FormatInt(w.nets[b], 10) + "\n"
	}
	return sha256.Sum256([]byte(text))
}

// settling looks at what becomes of a closed window.
func (a *Auditor) settling(e *Entry) {
	if e.Window == 0 || uint64(e.Window) > uint64(len(a.windows)) {
		a.find(checkWindows, "%s of a window that never was", e.Kind)
		return
	}
	w := a.windows[e.Window-1]
	needs := auditInstructed
	if e.Kind == KindInstruct {
		needs = auditClosed
	}
	if w.state != needs {
		a.find(checkWindows, "%s of %s, which is %s", e.Kind, w.id, w.state)
		return
	}
	if e.Hash != w.hash && (e.Kind != KindSettle || e.Hash != [32]byte{}) {
		a.find(checkSheet, "%s of %s names %x, its items give %x", e.Kind, w.id, e.Hash, w.hash)
	}
	switch e.Kind {
	case KindInstruct:
		w.state = auditInstructed
		for b, net := range w.nets {
			if net != 0 {
				w.due[b] = net
			}
		}
	case KindSettle:
		a.confirmed(e, w)
	case KindSettled:
		a.settled(w)
	}
}

// confirmed takes one leg that the settlement agent has confirmed.
func (a *Auditor) confirmed(e *Entry, w *auditWindow) {
	who, figure, sums := e.Debtor, e.Amount.Minor, w.collected
	if who == "" {
		who, figure, sums = e.Creditor, -e.Amount.Minor, w.paid
	}
	b := a.balance(who, e.Amount.Currency)
	if due, ok := w.due[b]; !ok || due != figure || (e.Debtor != "" && e.Creditor != "") || e.Amount.Minor <= 0 {
		a.find(checkLegs, "%s: %s of %s: %d is confirmed, %d is due", w.id, who, e.Amount.Currency, figure, due)
		return
	}
	if figure < 0 {
		for _, due := range w.due {
			if due > 0 {
				a.find(checkDebits, "%s: %s is paid while debits are open", w.id, who)
				break
			}
		}
	}
	delete(w.due, b)
	w.done[b] = figure
	sum := sums[b.currency]
	a.add(&sum, e.Amount.Minor)
	sums[b.currency] = sum
	a.add(&b.position, -figure)
}

func (a *Auditor) settled(w *auditWindow) {
	if len(w.due) > 0 {
		a.find(checkLegs, "%s is settled, but %d legs are open", w.id, len(w.due))
	}
	w.state = auditSettled
	for _, b := range w.figures() {
		if c := b.currency; w.collected[c] != w.paid[c] {
			a.find(checkSettled, "%s: %d of %s collected, %d paid", w.id, w.collected[c], c, w.paid[c])
		}
	}
}

// closingChecks fills in the report, and holds the running figures against what
// the payments and the windows add up to.
func (a *Auditor) closingChecks(r *Report) {
	for _, number := range slices.Sorted(maps.Keys(a.unknown)) {
		a.find(checkKnown, "batch %d is known elsewhere, the journal ends before it", number)
	}
	r.Payments, r.OpenHolds = a.checkHolds()
	a.checkPrefunding()
	a.checkPositions()
	for _, w := range a.windows {
		r.Windows = append(r.Windows, w.report())
		for c, minor := range w.collected {
			a.total(c).Collected += minor
		}
		for c, minor := range w.paid {
			a.total(c).Paid += minor
		}
	}
	for _, b := range a.sorted() {
		p := AuditPosition{Participant: string(b.who), Currency: b.currency.Code(), Position: b.position, Reserved: b.reserved, Suspended: a.suspended[b.who], Prefunded: b.prefunding}
		if b.capped {
			figure := b.cap
			p.Cap = &figure
		}
		r.Positions = append(r.Positions, p)
		a.total(b.currency).Held += b.reserved
	}
	for _, t := range a.totals {
		r.Totals = append(r.Totals, *t)
		t.Held, t.Collected, t.Paid = 0, 0, 0
	}
	slices.SortFunc(r.Totals, func(x, y AuditTotal) int { return cmp.Compare(x.Currency, y.Currency) })
}

func (a *Auditor) sorted() []*auditBalance {
	out := make([]*auditBalance, 0, len(a.accounts))
	for _, b := range a.accounts {
		out = append(out, b)
	}
	slices.SortFunc(out, func(x, y *auditBalance) int {
		return cmp.Or(cmp.Compare(x.who, y.who), cmp.Compare(x.currency.Code(), y.currency.Code()))
	})
	return out
}

// checkHolds counts the payments, and adds up the open holds anew.
func (a *Auditor) checkHolds() (n AuditPayments, open int64) {
	holds := map[*auditBalance]int64{}
	for _, p := range a.payments {
		switch p.phase {
		case KindHold:
			n.Held++
		case KindPend:
			n.Pending++
		case KindPost:
			n.Posted++
		case KindRefuse:
			n.Refused++
		case KindVoid:
			n.Voided++
		case KindReversing:
			n.Reversing++
		case KindReversed:
			n.Reversed++
		case KindTombstone:
			n.Tombstones++
		case KindExpire:
			n.Expired++
		}
		if p.phase == KindHold || p.phase == KindPend || (p.phase == KindReversing && !p.posted) {
			holds[p.debtor] += p.amount
			open++
		}
	}
	for _, b := range a.sorted() {
		if holds[b] != b.reserved {
			a.find(checkHolds, "%s of %s: reserved %d, its open holds are %d", b.who, b.currency, b.reserved, holds[b])
		}
	}
	return n, open
}

// checkPositions holds every position against the windows and what of them was
// settled, and all positions of a currency, with what the agent holds, against zero.
func (a *Auditor) checkPositions() {
	owed := map[*auditBalance]*big.Int{}
	sums := map[tongma.Currency]*big.Int{}
	for _, b := range a.sorted() {
		owed[b] = new(big.Int)
		addBig(sums, b.currency, b.position)
	}
	for _, w := range a.windows {
		for b, net := range w.nets {
			owed[b].Add(owed[b], big.NewInt(net))
		}
		for b, figure := range w.done {
			owed[b].Sub(owed[b], big.NewInt(figure))
			addBig(sums, b.currency, figure)
		}
	}
	for _, b := range a.sorted() {
		if owed[b].Cmp(big.NewInt(b.position)) != 0 {
			a.find(checkPosition, "%s of %s: position %d, the windows say %s", b.who, b.currency, b.position, owed[b])
		}
	}
	a.checkZero(sums, "positions, and what the agent holds,")
}

func (w *auditWindow) report() AuditWindow {
	out := AuditWindow{Window: uint64(w.id), State: w.state, Opened: w.opened, Closed: w.closed, Items: w.items, Nets: []AuditNet{}}
	if w.closed != 0 {
		out.Sheet = hex.EncodeToString(w.hash[:])
	}
	for _, b := range w.figures() {
		out.Nets = append(out.Nets, AuditNet{string(b.who), b.currency.Code(), w.nets[b]})
	}
	return out
}
