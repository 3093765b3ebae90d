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
	"github.com/tongma/tongma/schemes/calendar"
)

// auditPair is one cell of the bilateral matrix.
type auditPair struct{ debtor, creditor *auditBalance }

// auditWindow is one window, as the audit adds it up: the matrix by pairs and,
// apart from it, the figure of each account.
type auditWindow struct {
	id              tongma.WindowID
	model           string
	method          calendar.Model
	state           string
	opened, closed  uint64
	value           uint32
	items           int64
	matrix          map[auditPair]int64
	nets            map[*auditBalance]int64
	legs            map[auditPair]*auditLeg // from instruct on; of a multilateral window the creditor is nil
	said            map[string]Entry        // by kind and id of the instruction
	words           map[string]Entry        // of people, that wait, by id of the instruction
	asked           map[string]Entry        // covers that have no end yet, by id
	again           map[string]Entry        // what was sent again and has no end yet, by id
	owed            map[string][]auditDebt  // for covers, by id
	recastOf        tongma.Currency         // while payments leave it: for which currency
	done            map[*auditBalance]int64 // paid in by it, less what it was paid
	hash            [32]byte
	memos           map[*auditBalance]int64 // of sub-participants
	moved           map[*auditBalance]int   // how many movements of them
	recast          bool                    // payments were deferred since the last sheet
	shards          uint16                  // that it is gathered of
	gathered        map[uint16]*auditPages
	linked          tongma.WindowID // of the head, that it is gathered into
	collected, paid map[tongma.Currency]int64
}

// auditLeg is what one of a pair owes the other: less than zero the other way round.
type auditLeg struct {
	net, done int64
	short     bool
}

const (
	auditOpen       = "open"
	auditClosed     = "closed"
	auditInstructed = "instructed"
	auditSettled    = "settled"
)

// begin opens the window that an entry opens.
func (a *Auditor) begin(e *Entry) {
	if e.Method > calendar.Gross {
		a.find(checkModels, "method %d is not known", e.Method)
	}
	w := &auditWindow{id: tongma.WindowID(len(a.windows) + 1), model: e.Model, method: e.Method, opened: e.Number, state: auditOpen, matrix: map[auditPair]int64{}, nets: map[*auditBalance]int64{},
		legs: map[auditPair]*auditLeg{}, said: map[string]Entry{}, words: map[string]Entry{}, asked: map[string]Entry{}, again: map[string]Entry{}, owed: map[string][]auditDebt{}, memos: map[*auditBalance]int64{}, moved: map[*auditBalance]int{}, done: map[*auditBalance]int64{}, collected: map[tongma.Currency]int64{}, paid: map[tongma.Currency]int64{}}
	a.windows = append(a.windows, w)
	a.open[e.Model] = w
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

func (a *Auditor) opened(e *Entry) {
	if a.open[e.Model] != nil || int(e.Window) != len(a.windows)+1 || (e.Window == 1) != (e.Model == "") {
		a.find(checkWindows, "%s of model %q opens behind %s", e.Window, e.Model, a.open[e.Model].name())
		return
	}
	a.begin(e)
}

// closed fixes the figures of the model's open window, and opens its next one.
func (a *Auditor) closed(e *Entry) {
	w := a.open[e.Model]
	if w == nil || e.Window != w.id {
		a.find(checkWindows, "%s closes, %s is open", e.Window, w.name())
		return
	}
	w.state, w.closed, w.value = auditClosed, e.Number, e.ValueDate
	a.linked(e, w)
	w.hash = w.sheetHash()
	a.checkFigures(w)
	a.begin(e)
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
// [opened, closed), its model and method if they are not the default ones, its value
// date if it has one, and a line "CUR participant net" for each account that was
// moved, by currency and participant; where pairs settle, a line for each of them
// behind those. Each line ends with a newline.
func (w *auditWindow) sheetHash() [32]byte {
	text := "tongma net sheet 1\n" +
		"window " + strconv.FormatUint(uint64(w.id), 10) + "\n" +
		"entries " + strconv.FormatUint(w.opened, 10) + " " + strconv.FormatUint(w.closed, 10) + "\n"
	pairs := w.method == calendar.Bilateral || w.method == calendar.Gross
	if name := w.model; name != "" || pairs {
		if name == "" {
			name = "-"
		}
		text += "model " + name + " " + map[bool]string{true: w.method.String(), false: "multilateral"}[pairs] + "\n"
	}
	if w.value != 0 {
		text += "value " + strconv.FormatUint(uint64(w.value), 10) + "\n"
	}
	for _, b := range w.figures() {
		text += b.currency.Code() + " " + string(b.who) + " " + strconv.FormatInt(w.nets[b], 10) + "\n"
	}
	if pairs {
		text += w.pairLines()
	}
	return sha256.Sum256([]byte(text))
}

// pairLines are the legs between pairs, by currency and the side that a leg is kept
// by, as "CUR debtor pays creditor net".
func (w *auditWindow) pairLines() (text string) {
	due := w.legsNow()
	pairs := make([]auditPair, 0, len(due))
	for pair := range due {
		pairs = append(pairs, pair)
	}
	slices.SortFunc(pairs, func(x, y auditPair) int {
		return cmp.Or(cmp.Compare(x.debtor.currency.Code(), y.debtor.currency.Code()), cmp.Compare(x.debtor.who, y.debtor.who), cmp.Compare(x.creditor.who, y.creditor.who))
	})
	for _, pair := range pairs {
		net := due[pair].net
		from, to := pair.debtor, pair.creditor
		if net < 0 {
			from, to, net = to, from, -net
		}
		text += from.currency.Code() + " " + string(from.who) + " pays " + string(to.who) + " " + strconv.FormatInt(net, 10) + "\n"
	}
	return text
}

// legsNow makes legs of the matrix as it stands, by the window's method.
func (w *auditWindow) legsNow() map[auditPair]*auditLeg {
	legs := map[auditPair]*auditLeg{}
	leg := func(from, to *auditBalance) *auditLeg {
		if legs[auditPair{from, to}] == nil {
			legs[auditPair{from, to}] = &auditLeg{}
		}
		return legs[auditPair{from, to}]
	}
	if w.method != calendar.Bilateral && w.method != calendar.Gross {
		for b, net := range w.nets {
			if net != 0 {
				leg(b, nil).net = net
			}
		}
		return legs
	}
	for pair, gross := range w.matrix {
		switch {
		case pair.debtor == pair.creditor:
		case w.method == calendar.Bilateral && pair.debtor.who > pair.creditor.who:
			leg(pair.creditor, pair.debtor).net -= gross
		default:
			leg(pair.debtor, pair.creditor).net += gross
		}
	}
	for pair, l := range legs {
		if l.net == 0 {
			delete(legs, pair)
		}
	}
	return legs
}

// collecting tells whether a debit to the agent is open.
func (w *auditWindow) collecting(c tongma.Currency) bool {
	for pair, l := range w.legs {
		if pair.creditor == nil && pair.debtor.currency == c && l.net > l.done {
			return true
		}
	}
	return false
}

// settling looks at what becomes of a closed window.
func (a *Auditor) settling(e *Entry) {
	if e.Window == 0 || uint64(e.Window) > uint64(len(a.windows)) {
		a.find(checkWindows, "%s of a window that never was", e.Kind)
		return
	}
	w := a.windows[e.Window-1]
	if w.linked != 0 && e.Kind == KindSettled {
		a.followed(e, w)
		return
	}
	needs := auditInstructed
	if e.Kind == KindInstruct {
		needs = auditClosed
	}
	if w.state != needs {
		a.find(checkWindows, "%s of %s, which is %s", e.Kind, w.id, w.progress())
		return
	}
	if w.recast && e.Kind != KindDefer && e.Kind != KindRecast {
		a.find(checkRecast, "%s of %s, whose sheet is not drawn up anew", e.Kind, w.id)
	}
	switch e.Kind {
	case KindInstruct:
		if a.sameSheet(e, w); !w.whole() || w.linked != 0 {
			a.find(checkGather, "%s is not whole, or the head's to settle", w.id)
		}
		w.state, w.legs = auditInstructed, w.legsNow()
	case KindSettle:
		if e.Hash != [32]byte{} {
			a.sameSheet(e, w)
		}
		a.confirmed(e, w)
	case KindShort:
		a.foundShort(e, w)
	case KindCover:
		a.covered(e, w)
	case KindCoverAsked:
		a.asksCover(e, w)
	case KindCoverRefused:
		a.coverRefused(e, w)
	case KindRetry:
		a.triesAgain(e, w)
	case KindWord:
		a.spoken(e, w)
	case KindWordRejected:
		a.unspoken(e, w)
	case KindDefer:
		a.deferred(e, w)
	case KindRecast:
		a.recasts(e, w)
	case KindSettled:
		a.sameSheet(e, w)
		a.settled(w)
	}
}

func (a *Auditor) sameSheet(e *Entry, w *auditWindow) {
	if e.Hash != w.hash {
		a.find(checkSheet, "%s of %s names %x, its items give %x", e.Kind, w.id, e.Hash, w.hash)
	}
}

// told holds that an instruction's id says one thing of each kind, once.
func (a *Auditor) told(e *Entry, w *auditWindow) {
	if e.SchemeRef == "" && e.Kind == KindSettle {
		return
	}
	key := e.Kind.String() + " " + e.SchemeRef
	if _, twice := w.said[key]; twice || e.SchemeRef == "" {
		a.find(checkLegs, "%s: %s under %q, for the second time or for nothing", w.id, e.Kind, e.SchemeRef)
	}
	w.said[key] = *e
}

// due finds the leg by which from owes to, and what of it is due.
func (a *Auditor) due(e *Entry, w *auditWindow, to tongma.ParticipantID) (l *auditLeg, from, other *auditBalance, due int64) {
	side := func(who tongma.ParticipantID) *auditBalance {
		if who == "" {
			return nil
		}
		return a.balance(who, e.Amount.Currency)
	}
	from, other = side(e.Debtor), side(to)
	if l = w.legs[auditPair{from, other}]; l != nil && l.net > l.done {
		return l, from, other, l.net - l.done
	}
	if back := w.legs[auditPair{other, from}]; back != nil && back.net < back.done {
		return back, from, other, back.done - back.net
	}
	return l, from, other, 0
}

// pays takes what was paid out of a leg, and out of what its sides owe.
func (a *Auditor) pays(w *auditWindow, l *auditLeg, from, to *auditBalance, minor int64) {
	signed := minor
	if l != w.legs[auditPair{from, to}] {
		signed = -minor
	}
	a.add(&l.done, signed)
	if l.done == l.net {
		l.short = false
	}
	note := func(b *auditBalance, figure int64) {
		sum := w.done[b]
		a.add(&sum, figure)
		w.done[b] = sum
		a.add(&b.position, -figure)
	}
	if from != nil {
		note(from, minor)
	}
	if to != nil {
		note(to, -minor)
	}
	switch {
	case to == nil:
		w.collected[from.currency] += minor
	case from == nil:
		w.paid[to.currency] += minor
	}
}

// confirmed takes a leg, or a part of one, that the settlement agent has confirmed.
func (a *Auditor) confirmed(e *Entry, w *auditWindow) {
	l, from, to, due := a.due(e, w, e.Creditor)
	if due < e.Amount.Minor || e.Amount.Minor <= 0 || (e.SchemeRef == "" && e.Amount.Minor != due) {
		a.find(checkLegs, "%s: from %q to %q in %s: %d is confirmed, %d is due", w.id, e.Debtor, e.Creditor, e.Amount.Currency, e.Amount.Minor, due)
		return
	}
	a.told(e, w)
	a.shared(e, w)
	a.retryAnswers(e, w, e.Creditor)
	if from == nil && w.collecting(to.currency) {
		a.find(checkDebits, "%s: %s is paid while debits are open", w.id, to.who)
	}
	a.pays(w, l, from, to, e.Amount.Minor)
}

func (a *Auditor) settled(w *auditWindow) {
	open := 0
	for _, l := range w.legs {
		if l.net != l.done {
			open++
		}
	}
	if open > 0 {
		a.find(checkLegs, "%s is settled, but %d legs are open", w.id, open)
	}
	w.state = auditSettled
	for b, minor := range w.memos {
		a.add(&b.memo, -minor)
	}
	for _, c := range slices.Sorted(maps.Keys(w.collected)) {
		if w.collected[c] != w.paid[c] {
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
		p := AuditPosition{Participant: string(b.who), Currency: b.currency.Code(), Position: b.position, Reserved: b.reserved, Prefunded: b.prefunding,
			Suspended: a.suspended[b.who] || a.suspended[a.sponsors[b.who]], Sponsor: string(a.sponsors[b.who]), Memo: b.memo, MemoHeld: b.memoHeld}
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
	holds, memos := map[*auditBalance]int64{}, map[*auditBalance]int64{}
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
			holds[a.settler(p.debtor)] += p.amount
			memos[p.debtor] += p.amount
			if p.dealer != nil {
				holds[a.settler(p.dealer)] += p.target
				memos[p.dealer] += p.target
			}
			open++
		}
	}
	for _, b := range a.sorted() {
		if holds[b] != b.reserved {
			a.find(checkHolds, "%s of %s: reserved %d, its open holds are %d", b.who, b.currency, b.reserved, holds[b])
		}
		if a.settler(b) != b && memos[b] != b.memoHeld {
			a.find(checkHolds, "%s of %s: reserved through its sponsor %d, its open holds are %d", b.who, b.currency, b.memoHeld, memos[b])
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
	for b, minor := range a.shards.carried {
		owed[b].Add(owed[b], minor)
	}
	for _, b := range a.sorted() {
		if owed[b].Cmp(big.NewInt(b.position)) != 0 {
			a.find(checkPosition, "%s of %s: position %d, the windows say %s", b.who, b.currency, b.position, owed[b])
		}
	}
	memos := map[*auditBalance]*big.Int{}
	for _, w := range a.windows {
		for b, minor := range w.memos {
			if memos[b] == nil {
				memos[b] = new(big.Int)
			}
			if w.state != auditSettled {
				memos[b].Add(memos[b], big.NewInt(minor))
			}
		}
	}
	for _, b := range a.sorted() {
		if sum := memos[b]; (sum == nil && b.memo != 0) || (sum != nil && sum.Cmp(big.NewInt(b.memo)) != 0) {
			a.find(checkSponsor, "%s of %s: %d through its sponsor, the windows say %s", b.who, b.currency, b.memo, sum)
		}
	}
	a.checkZero(sums, "positions, and what the agent holds,")
}

// progress is a window's state in the words of its sheet: one that is being settled is
// recasting, short of what somebody was refused, collecting as long as a participant has
// to pay, and else paying.
func (w *auditWindow) progress() string {
	if w.state != auditInstructed {
		return w.state
	}
	if w.recast {
		return "recasting"
	}
	word := "paying"
	for pair, l := range w.legs {
		from, due := pair.debtor, l.net-l.done
		if l.net < 0 || (l.net == 0 && l.done < 0) { // the sheet shows it from the other side
			from, due = pair.creditor, -due
		}
		switch {
		case due != 0 && l.short:
			return "short"
		case (due > 0) == (from != nil) && due != 0:
			word = "collecting"
		}
	}
	return word
}

func (w *auditWindow) report() AuditWindow {
	out := AuditWindow{Window: uint64(w.id), Model: w.model, Method: w.method.String(), State: w.progress(), Opened: w.opened, Closed: w.closed, Items: w.items, Nets: []AuditNet{}}
	if w.closed != 0 {
		out.Sheet = hex.EncodeToString(w.hash[:])
	}
	for _, b := range w.figures() {
		out.Nets = append(out.Nets, AuditNet{string(b.who), b.currency.Code(), w.nets[b]})
	}
	return out
}
