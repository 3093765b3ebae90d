package recon

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/tongma/tongma"
)

// differs is a set of differences between a movement and its row.
type differs uint8

const (
	otherStatus differs = 1 << iota
	otherCurrency
	otherAmount
	otherWindow
	otherFee
)

// weight orders rows that claim one movement: the one that differs least is its
// row, and the others are duplicates.
func (d differs) weight() int {
	w := 0
	for i, each := range [...]int{16, 8, 4, 2, 1} {
		if d&(1<<i) != 0 {
			w += each
		}
	}
	return w
}

// fileMatch is the comparison of one participant's rows with its movements.
type fileMatch struct {
	*run
	f        *File
	side     string
	p        tongma.ParticipantID
	pay, rev []int32 // row that an item's payment, or its reversal, was found in, plus one
	refs     map[refKey]int32
	notes    map[int32]string // why a row found nothing
	lost     []int32          // rows that found no item
	extra    []claim          // rows that found one that has a better row
	breaks   []Break
}

// claim is a row that says something about an item that another row says better.
type claim struct {
	row, item int32
	move      Movement
}

// refKey is a scheme's reference among the movements of one participant. A
// refund may carry the reference of what it gives back of.
type refKey struct {
	ref string
	op  tongma.Operation
}

// ambiguous stands in refs for a reference of more than one item.
const ambiguous = -1

// file compares one file with the journal, participant by participant.
func (r *run) file(f *File) {
	side := "file:" + string(f.Sender)
	covered := f.covered()
	rows := make(map[tongma.ParticipantID][]int32, len(covered))
	for _, p := range covered {
		rows[p] = make([]int32, 0, len(f.Rows)/len(covered))
	}
	for i := range f.Rows {
		row := &f.Rows[i]
		if mine, ok := rows[row.Participant]; ok {
			rows[row.Participant] = append(mine, int32(i))
			continue
		}
		t := r.tally(side, row.Participant, BookFile, row.Amount.Currency)
		t.add(&t.Unknown, row.Amount.Minor)
		r.found(Break{Kind: UnknownParticipant, Side: side, Window: r.in.Window, Owner: OwnerSwitch, Participant: row.Participant, Payment: row.Payment,
			Movement: row.movement(), Ref: row.SchemeRef, Expected: "a participant that " + string(f.Sender) + " reports for",
			Found: row.String(), AtRisk: row.moved(), Source: f.source(row)})
	}
	pay, rev := make([]int32, len(r.in.Items)), make([]int32, len(r.in.Items))
	for _, p := range covered {
		clear(pay)
		clear(rev)
		m := fileMatch{run: r, f: f, side: side, p: p, pay: pay, rev: rev, notes: map[int32]string{}}
		m.match(rows[p])
	}
	r.out.Runs = append(r.out.Runs, newRun(side, []tongma.WindowID{r.in.Window}, r.in, []InputID{{string(f.Sender), hexOf(f.Hash), len(f.Rows)}}))
}

func (f *File) source(row *Row) Source { return Source{hexOf(f.Hash), int(row.Line)} }

func (m *fileMatch) match(rows []int32) {
	for _, i := range rows {
		m.place(i)
	}
	for i := range m.in.Items {
		if it := &m.in.Items[i]; m.party(it) {
			m.judge(it, m.pay[i], m.rev[i])
		}
	}
	for _, c := range m.extra {
		m.duplicate(c)
	}
	m.judgeLost()
	m.propose()
	for _, b := range m.breaks {
		m.found(b)
	}
}

func (m *fileMatch) party(it *Item) bool { return it.Debtor == m.p || it.Creditor == m.p }

// place finds the item that a row is about, and gives the row its movement. The
// keys are tried in order: our payment id, then the scheme's reference.
func (m *fileMatch) place(i int32) {
	row := &m.f.Rows[i]
	at := m.find(i, row)
	if at < 0 {
		m.lost = append(m.lost, i)
		return
	}
	it := &m.in.Items[at]
	slots, move := m.pay, MovePayment
	if m.isReversal(it, row) {
		slots, move = m.rev, MoveReversal
	}
	loser := i + 1
	if now := slots[at]; now == 0 || m.better(it, move, row, &m.f.Rows[now-1]) {
		slots[at], loser = i+1, now
	}
	if loser != 0 {
		m.extra = append(m.extra, claim{loser - 1, at, move})
	}
}

func (m *fileMatch) find(i int32, row *Row) int32 {
	if !row.Payment.IsZero() {
		if at, ok := m.byID[row.Payment]; ok {
			if at = m.part(at, row); at >= 0 {
				return at
			}
			m.notes[i] = "the switch has this payment, but the participant is no party to it"
		}
	}
	if row.SchemeRef == "" {
		return -1
	}
	if m.refs == nil {
		m.index()
	}
	ops := []tongma.Operation{row.Kind.operation()}
	if row.Kind == RowReversal {
		ops = []tongma.Operation{tongma.OpPay, tongma.OpTransfer, tongma.OpRefund}
	}
	found := int32(-1)
	for _, op := range ops {
		at, ok := m.refs[refKey{row.SchemeRef, op}]
		if ok && (at == ambiguous || found >= 0) {
			m.notes[i] = "more than one payment has this reference"
			return -1
		}
		if ok {
			found = at
		}
	}
	if found >= 0 {
		return m.part(found, row)
	}
	return found
}

// part returns which part of the payment at part 0, or at the one that the
// participant has, the row is about: of a dealer's two that in its currency. It
// returns -1 if the participant has none.
func (m *fileMatch) part(at int32, row *Row) int32 {
	items := m.in.Items
	if at -= int32(items[at].Part); int(at)+1 == len(items) || items[at+1].Part == 0 || !m.party(&items[at+1]) {
		if m.party(&items[at]) {
			return at
		}
		return -1
	}
	if m.party(&items[at]) && items[at+1].Amount.Currency != row.Amount.Currency {
		return at
	}
	return at + 1
}

func (m *fileMatch) index() {
	m.refs = make(map[refKey]int32)
	put := func(ref string, i int, it *Item) {
		k := refKey{ref, it.Op}
		if now, ok := m.refs[k]; ok && (now == ambiguous || m.in.Items[now].Payment != it.Payment) {
			m.refs[k] = ambiguous
		} else if ref != "" {
			m.refs[k] = int32(i)
		}
	}
	for i := range m.in.Items {
		if it := &m.in.Items[i]; m.party(it) {
			put(it.SchemeRef, i, it)
			put(it.ReverseRef, i, it)
		}
	}
}

// isReversal tells whether the row reports the turning back of the item. A
// sender may say so in a row of its own, or by reporting the payment once more,
// as undone, in the window in which it was.
func (m *fileMatch) isReversal(it *Item, row *Row) bool {
	return row.Kind == RowReversal || (row.undone() && it.Reversed == m.in.Window && it.Posted != m.in.Window)
}

func (m *fileMatch) better(it *Item, move Movement, x, y *Row) bool {
	return cmp.Or(cmp.Compare(m.compare(it, move, x).weight(), m.compare(it, move, y).weight()), compareRows(x, y)) < 0
}

// compareRows is an order of rows by content, and then by line.
func compareRows(x, y *Row) int {
	fee := func(r *Row) int64 {
		if r.HasFee {
			return r.Fee
		}
		return -1
	}
	return cmp.Or(cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.Status, y.Status), cmp.Compare(x.Amount.Currency, y.Amount.Currency),
		cmp.Compare(x.Amount.Minor, y.Amount.Minor), cmp.Compare(fee(x), fee(y)), cmp.Compare(x.Window, y.Window), cmp.Compare(x.Date, y.Date),
		slices.Compare(x.Payment[:], y.Payment[:]), cmp.Compare(x.SchemeRef, y.SchemeRef), cmp.Compare(x.Line, y.Line))
}

// undone tells whether the row says that no money moved in the end.
func (row *Row) undone() bool {
	return row.Kind != RowReversal && (row.Status == tongma.ReversedBack || row.Status == tongma.Refused)
}

// done tells whether the row says that its movement happened.
func (row *Row) done() bool {
	return row.Status == tongma.Paid || (row.Kind == RowReversal && row.Status == tongma.ReversedBack)
}

// moved is the money that the row says has moved, or may have.
func (row *Row) moved() tongma.Money {
	if row.done() || row.Status == tongma.Pending {
		return row.Amount
	}
	return tongma.Money{Currency: row.Amount.Currency}
}

func (row *Row) movement() Movement {
	if row.Kind == RowReversal {
		return MoveReversal
	}
	return MovePayment
}

// String says what the row reports, without its keys.
func (row *Row) String() string {
	s := row.Status.String() + " " + row.Kind.String() + " " + row.Amount.String()
	if row.HasFee {
		s += ", fee " + tongma.Money{Minor: row.Fee, Currency: row.Amount.Currency}.Decimal()
	}
	if row.Window != 0 {
		s += ", " + row.Window.String()
	}
	if row.Date != 0 {
		s += ", " + row.Date.String()
	}
	return s
}

// compare lists the differences between a movement of the item and a row that is
// about it. A difference of status leaves nothing else to compare, and where no
// side moved money there is nothing to compare at all.
func (m *fileMatch) compare(it *Item, move Movement, row *Row) differs {
	agree, moved, window := false, it.Posted != 0, it.Posted
	if move == MoveReversal {
		moved, window = it.Reversed != 0, it.Reversed
		agree = m.reversalAgrees(it, row)
	} else {
		agree = paymentAgrees(it, row)
	}
	if !agree {
		return otherStatus
	}
	if !moved {
		return 0
	}
	var d differs
	switch {
	case row.Amount.Currency != it.Amount.Currency:
		d |= otherCurrency
	case row.Amount.Minor != it.Amount.Minor:
		d |= otherAmount
	}
	if !m.sameWindow(window, row) {
		d |= otherWindow
	}
	if _, other := m.fee(it, move, row); other {
		d |= otherFee
	}
	return d
}

func paymentAgrees(it *Item, row *Row) bool {
	switch {
	case row.Kind.operation() != it.Op:
		return false
	case row.Status == tongma.Paid:
		return it.Posted != 0
	case row.Status == tongma.Pending:
		return it.Posted == 0 && it.Status == tongma.Pending
	case it.Posted != 0:
		return it.Reversed != 0 // undone on both sides
	}
	return it.Status != tongma.Pending
}

func (m *fileMatch) reversalAgrees(it *Item, row *Row) bool {
	switch {
	case row.done() || row.undone():
		return it.Reversed != 0 || (it.Posted == 0 && it.Status != tongma.Pending)
	case row.Status == tongma.Pending:
		return it.Reversed == 0 && it.Status == tongma.Pending
	}
	return it.Reversed == 0 // they refused to turn it back
}

// sameWindow tells whether the row has the movement where the journal has it: in
// the file of the window, and under its number or its business date.
func (m *fileMatch) sameWindow(w tongma.WindowID, row *Row) bool {
	if w != m.in.Window || (row.Window != 0 && row.Window != w) {
		return false
	}
	date := m.cycles[w].Date
	return row.Date == 0 || date == 0 || row.Date == date
}

// fee returns the fee that the switch says is due, and whether the row has
// another one. Fees are compared on the payment itself, where the row gives one.
func (m *fileMatch) fee(it *Item, move Movement, row *Row) (due tongma.Money, other bool) {
	if m.in.Fee == nil || !row.HasFee || move != MovePayment {
		return tongma.Money{}, false
	}
	due, ok := m.in.Fee(m.p, it)
	return due, ok && (due.Minor != row.Fee || due.Currency != row.Amount.Currency)
}

// judge decides what becomes of an item's two movements and of their rows, given
// as places plus one.
func (m *fileMatch) judge(it *Item, payRow, revRow int32) {
	var d differs
	var row *Row
	both := it.Posted == m.in.Window && it.Reversed == m.in.Window && payRow == 0 && revRow == 0
	if payRow != 0 {
		row = &m.f.Rows[payRow-1]
		d = m.judgeRow(it, MovePayment, row)
	}
	if it.Posted == m.in.Window {
		m.ours(it, payRow != 0, d)
		if payRow == 0 {
			m.missing(it, MovePayment, both)
		}
	}
	var back differs
	implied := revRow == 0 && row != nil && row.undone() && d&otherStatus == 0 && it.Reversed != 0
	switch {
	case revRow != 0:
		other := &m.f.Rows[revRow-1]
		back = m.judgeRow(it, MoveReversal, other)
		m.theirs(other, back)
	case implied: // one row says that it was paid and undone
		back = m.judgeRow(it, MoveReversal, row)
		d |= back
	}
	if it.Reversed == m.in.Window {
		m.ours(it, revRow != 0 || implied, back)
		if revRow == 0 && !implied {
			m.missing(it, MoveReversal, both)
		}
	}
	if row != nil {
		m.theirs(row, d)
	}
}

func (m *fileMatch) ours(it *Item, found bool, d differs) {
	t := m.tally(m.side, m.p, BookJournal, it.Amount.Currency)
	part := &t.Matched
	switch {
	case !found:
		part = &t.Alone
	case d != 0:
		part = &t.Differing
	}
	t.add(part, it.Amount.Minor)
}

func (m *fileMatch) theirs(row *Row, d differs) {
	t := m.tally(m.side, m.p, BookFile, row.Amount.Currency)
	part := &t.Matched
	if d != 0 {
		part = &t.Differing
	}
	t.add(part, row.Amount.Minor)
}

func (m *fileMatch) begin(kind Kind, owner Owner, it *Item, move Movement) Break {
	ref := it.SchemeRef
	if move == MoveReversal && it.ReverseRef != "" {
		ref = it.ReverseRef
	}
	return Break{Kind: kind, Side: m.side, Window: m.in.Window, Owner: owner, Participant: m.p, Payment: it.Payment, Movement: move, Ref: ref}
}

// judgeRow finds the breaks between a movement and its row.
func (m *fileMatch) judgeRow(it *Item, move Movement, row *Row) differs {
	d := m.compare(it, move, row)
	add := func(kind Kind, owner Owner, expected, found string, risk tongma.Money) {
		b := m.begin(kind, owner, it, move)
		b.Expected, b.Found, b.AtRisk, b.Source = expected, found, risk, m.f.source(row)
		if kind == Window {
			b.Other = it.window(move)
		}
		m.breaks = append(m.breaks, b)
	}
	if d&otherStatus != 0 {
		owner, risk := OwnerSwitch, row.moved()
		if it.window(move) != 0 && !row.done() { // we moved money, they did not
			owner, risk = OwnerParticipant, it.Amount
		}
		add(Status, owner, it.describe(move), row.String(), risk)
	}
	if d&otherCurrency != 0 {
		add(Currency, OwnerParticipant, it.Amount.String(), row.Amount.String(), it.Amount)
	}
	if d&otherAmount != 0 {
		risk := tongma.Money{Minor: distance(it.Amount.Minor, row.Amount.Minor), Currency: it.Amount.Currency}
		add(Amount, OwnerParticipant, it.Amount.String(), row.Amount.String(), risk)
	}
	if d&otherWindow != 0 {
		add(Window, OwnerParticipant, it.window(move).String(), m.windowOf(row), it.Amount)
	}
	if d&otherFee != 0 {
		due, _ := m.fee(it, move, row)
		charged := tongma.Money{Minor: row.Fee, Currency: row.Amount.Currency}
		risk := tongma.Money{Minor: distance(due.Minor, row.Fee), Currency: row.Amount.Currency}
		if due.Currency != charged.Currency {
			risk = charged
		}
		add(Fee, OwnerParticipant, "fee "+due.String(), "fee "+charged.String(), risk)
	}
	return d
}

// windowOf says where the file has the row.
func (m *fileMatch) windowOf(row *Row) string {
	s := "file of " + m.in.Window.String()
	if row.Window != 0 && row.Window != m.in.Window {
		s += ", row of " + row.Window.String()
	}
	if row.Date != 0 {
		s += ", dated " + row.Date.String()
	}
	return s
}

// window is where the journal has a movement, or zero.
func (it *Item) window(move Movement) tongma.WindowID {
	if move == MoveReversal {
		return it.Reversed
	}
	return it.Posted
}

func (it *Item) describe(move Movement) string {
	s := it.Status.String() + " " + it.Op.String() + " " + it.Amount.String()
	if w := it.window(move); w != 0 {
		s += ", " + w.String()
	}
	return s
}

// missing reports a movement that the file does not have. If the file has
// neither a payment nor its reversal of the same window, nothing is at risk.
func (m *fileMatch) missing(it *Item, move Movement, undone bool) {
	b := m.begin(MissingAtScheme, OwnerParticipant, it, move)
	kind, at := it.Op.String(), it.PostedAt
	if move == MoveReversal {
		kind, at = "reversal", it.ReversedAt
	}
	b.Expected = fmt.Sprintf("%s %s, %s", kind, it.Amount, it.window(move))
	b.Found, b.AtRisk, b.Source = "no row", it.Amount, Source{Hash: hexOf(m.f.Hash)}
	closed := m.cycles[m.in.Window].Closed
	switch before := closed.Sub(time.UnixMilli(at)); {
	case undone:
		b.AtRisk.Minor = 0
		b.Proposal = "paid and turned back in this window, and the file has neither"
	case !closed.IsZero() && before >= 0 && before <= nearCutoff:
		b.Proposal = fmt.Sprintf("posted %s before the window closed: look for it in the next file", before.Round(time.Second))
	}
	m.breaks = append(m.breaks, b)
}

// nearCutoff is how shortly before the close of a window a movement may have
// missed the participant's own cut-off. It is for a proposal only.
const nearCutoff = 5 * time.Minute

func (m *fileMatch) duplicate(c claim) {
	row, it := &m.f.Rows[c.row], &m.in.Items[c.item]
	t := m.tally(m.side, m.p, BookFile, row.Amount.Currency)
	t.add(&t.Duplicate, row.Amount.Minor)
	b := m.begin(Duplicate, OwnerParticipant, it, c.move)
	b.Expected, b.Found, b.AtRisk, b.Source = "one row", "another: "+row.String(), row.moved(), m.f.source(row)
	m.breaks = append(m.breaks, b)
}

// judgeLost reports the rows that found no item: the first of each key as
// missing here, the others as its duplicates.
func (m *fileMatch) judgeLost() {
	slices.SortFunc(m.lost, func(x, y int32) int { return compareRows(&m.f.Rows[x], &m.f.Rows[y]) })
	type key struct {
		payment  tongma.PaymentID
		ref      string
		movement Movement
	}
	seen := make(map[key]bool, len(m.lost))
	for _, i := range m.lost {
		row := &m.f.Rows[i]
		k := key{row.Payment, row.SchemeRef, row.movement()}
		if !row.Payment.IsZero() {
			k.ref = ""
		}
		t := m.tally(m.side, m.p, BookFile, row.Amount.Currency)
		b := Break{Kind: MissingAtSwitch, Side: m.side, Window: m.in.Window, Owner: OwnerSwitch, Participant: m.p, Payment: row.Payment,
			Movement: row.movement(), Ref: row.SchemeRef, Expected: "no movement", Found: row.String(), AtRisk: row.moved(), Source: m.f.source(row), Proposal: m.notes[i]}
		part := &t.Alone
		if seen[k] {
			part = &t.Duplicate
			b.Kind, b.Owner, b.Expected, b.Found = Duplicate, OwnerParticipant, "one row", "another: "+b.Found
		}
		seen[k] = true
		t.add(part, row.Amount.Minor)
		m.breaks = append(m.breaks, b)
	}
}

// maxCandidates is how many likely counterparts a proposal names.
const maxCandidates = 3

// propose names, for each movement or row that stands alone, those of the other
// side with the same amount and direction. It is a hint for a person: two equal
// amounts prove nothing, so nothing is matched by it.
func (m *fileMatch) propose() {
	type key struct {
		amount tongma.Money
		move   Movement
	}
	ours, theirs := map[key][]int{}, map[key][]int{}
	for i := range m.breaks {
		b := &m.breaks[i]
		k := key{b.AtRisk, b.Movement}
		switch {
		case b.AtRisk.IsZero():
		case b.Kind == MissingAtScheme:
			ours[k] = append(ours[k], i)
		case b.Kind == MissingAtSwitch:
			theirs[k] = append(theirs[k], i)
		}
	}
	for k, mine := range ours {
		for _, pair := range [...][2][]int{{mine, theirs[k]}, {theirs[k], mine}} {
			if hint := m.candidates(pair[1]); hint != "" {
				for _, i := range pair[0] {
					m.breaks[i].Proposal = joined(m.breaks[i].Proposal, hint)
				}
			}
		}
	}
}

func (m *fileMatch) candidates(of []int) string {
	if len(of) == 0 {
		return ""
	}
	names := make([]string, 0, len(of))
	for _, i := range of {
		if b := &m.breaks[i]; b.Payment.IsZero() {
			names = append(names, "reference "+b.Ref)
		} else {
			names = append(names, b.Payment.String())
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	s := "same amount as "
	for i, name := range names[:min(len(names), maxCandidates)] {
		if i > 0 {
			s += ", "
		}
		s += name
	}
	if len(names) > maxCandidates {
		s += fmt.Sprintf(" and %d more", len(names)-maxCandidates)
	}
	return s
}

func joined(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}
