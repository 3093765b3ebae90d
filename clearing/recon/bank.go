package recon

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/tongma/tongma"
)

// BankEntry is one booked entry on the settlement account, as a camt.053
// statement or a camt.054 advice has it. Entries that are only announced do not
// belong here: money that is pending has not come. An entry that stands for
// several transactions is given as one for each, so that each finds its leg.
type BankEntry struct {
	Ref        string // the agent's own reference, the same in advice and statement (AcctSvcrRef); may be empty
	EndToEndID string // what our instruction carried: its id
	UETR       string
	Debit      bool // money left the settlement account
	Amount     tongma.Money
	Booked     time.Time
	Value      time.Time // its value date is the day in Value's zone; zero: not told
	Account    string
}

// Statement is what the settlement agent reported about the settlement account
// at one time. An advice has entries and no balances.
type Statement struct {
	Account  string
	Hash     [32]byte // SHA-256 of its bytes
	Entries  []BankEntry
	Opening  tongma.Money // without a currency: not told
	Closing  tongma.Money
	Previous tongma.Money // closing balance of the statement before this one; without a currency: not known
}

// entry is a BankEntry and where it stood.
type entry struct {
	BankEntry
	source Source
	// The same entry often comes twice, by advice and by statement. nth numbers
	// equal entries within one statement, and copies of one number are one entry.
	nth int
}

// bank compares the legs with the entries of all the statements.
func (r *run) bank() error {
	entries, inputs, err := r.entries()
	if err != nil {
		return err
	}
	byKey, windows, err := r.legs()
	if err != nil {
		return err
	}
	of := make([][]entry, len(r.in.Legs))
	var strangers []entry
	for _, e := range entries {
		if at, ok := legOf(byKey, &e); ok {
			of[at] = append(of[at], e)
		} else {
			strangers = append(strangers, e)
		}
	}
	first := len(r.out.Breaks)
	for i := range r.in.Legs {
		if err := r.leg(&r.in.Legs[i], of[i]); err != nil {
			return err
		}
	}
	for _, e := range strangers {
		t := r.tally(SideBank, "", BookStatement, e.Amount.Currency)
		t.add(&t.Alone, e.Amount.Minor)
		r.found(Break{Kind: UnexpectedEntry, Side: SideBank, Owner: OwnerAgent, Movement: MoveEntry, Ref: e.name(),
			Expected: "no instruction", Found: e.String(), AtRisk: e.Amount, Source: e.source})
	}
	r.proposeLegs(r.out.Breaks[first:])
	if err := r.balances(); err != nil {
		return err
	}
	r.out.Runs = append(r.out.Runs, newRun(SideBank, windows, r.in, inputs))
	return nil
}

// entries gathers the entries of all statements in an order of their own, each
// once, and names the inputs. A statement that is there twice counts once.
func (r *run) entries() ([]entry, []InputID, error) {
	var all []entry
	var inputs []InputID
	for i := range r.in.Statements {
		s := &r.in.Statements[i]
		id := InputID{clean(s.Account), hexOf(s.Hash), len(s.Entries)}
		if id.Hash == "" {
			return nil, nil, fault(tongma.FieldMissing, "recon.Reconcile", "a statement has no hash")
		}
		if slices.Contains(inputs, id) {
			continue
		}
		inputs = append(inputs, id)
		mine := make([]entry, 0, len(s.Entries))
		for n, e := range s.Entries {
			if e.Amount.Minor < 0 || e.Amount.Minor > maxBankMinor || !e.Amount.Currency.Valid() {
				return nil, nil, fault(tongma.AmountInvalid, "recon.Reconcile", "entry %d of a statement", n+1)
			}
			e.Ref, e.EndToEndID, e.UETR, e.Account = clean(e.Ref), clean(e.EndToEndID), clean(e.UETR), clean(cmp.Or(e.Account, s.Account))
			mine = append(mine, entry{BankEntry: e, source: Source{id.Hash, n + 1}})
		}
		slices.SortStableFunc(mine, compareEntries)
		for n := 1; n < len(mine); n++ {
			if compareEntries(mine[n-1], mine[n]) == 0 {
				mine[n].nth = mine[n-1].nth + 1
			}
		}
		all = append(all, mine...)
	}
	slices.SortStableFunc(all, func(x, y entry) int {
		return cmp.Or(compareEntries(x, y), cmp.Compare(x.nth, y.nth), cmp.Compare(x.source.Hash, y.source.Hash), cmp.Compare(x.source.Line, y.source.Line))
	})
	all = slices.CompactFunc(all, func(x, y entry) bool {
		return x.Ref != "" && x.nth == y.nth && compareEntries(x, y) == 0
	})
	slices.SortFunc(inputs, func(x, y InputID) int { return cmp.Or(cmp.Compare(x.Hash, y.Hash), cmp.Compare(x.Name, y.Name)) })
	return all, inputs, nil
}

// compareEntries orders entries by what makes two copies the same entry. The
// dates are not among it: an advice may not know the value date yet. Entries
// without a reference of the agent are never copies of each other.
func compareEntries(x, y entry) int {
	side := func(e entry) int {
		if e.Debit {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(x.Account, y.Account), cmp.Compare(x.Ref, y.Ref), cmp.Compare(x.EndToEndID, y.EndToEndID),
		cmp.Compare(x.UETR, y.UETR), cmp.Compare(x.Amount.Currency, y.Amount.Currency), cmp.Compare(x.Amount.Minor, y.Amount.Minor), cmp.Compare(side(x), side(y)))
}

// legs indexes the legs by what their entries may carry.
func (r *run) legs() (byKey map[string]int, windows []tongma.WindowID, err error) {
	byKey = make(map[string]int, 2*len(r.in.Legs))
	windows = []tongma.WindowID{r.in.Window}
	for i, l := range r.in.Legs {
		if l.Amount.Minor <= 0 || l.Amount.Minor > maxBankMinor || !l.Amount.Currency.Valid() || l.ID == "" || l.Window == 0 {
			return nil, nil, fault(tongma.FieldInvalid, "recon.Reconcile", "instruction %d has no id, window or amount", i)
		}
		for _, k := range []string{l.ID, "uetr " + l.UETR} {
			if k == "uetr " {
				continue
			}
			if _, twice := byKey[k]; twice {
				return nil, nil, fault(tongma.FieldInvalid, "recon.Reconcile", "two instructions have one id or UETR")
			}
			byKey[k] = i
		}
		windows = append(windows, l.Window)
	}
	slices.Sort(windows)
	return byKey, slices.Compact(windows), nil
}

// legOf tries the keys in order: the instruction's id as it was carried end to
// end, the same as the entry's reference, the UETR.
func legOf(byKey map[string]int, e *entry) (int, bool) {
	for _, k := range []string{e.EndToEndID, e.Ref, "uetr " + e.UETR} {
		if at, ok := byKey[k]; ok && k != "" {
			return at, true
		}
	}
	return 0, false
}

// leg compares one instruction with its entries. A participant that pays credits
// the settlement account, one that is paid debits it; an entry the other way
// counts against the leg, as a return does.
func (r *run) leg(l *Leg, entries []entry) error {
	paid := tongma.Money{Currency: l.Amount.Currency}
	var latest, foreign *entry
	for i := range entries {
		e := &entries[i]
		if e.Amount.Currency != l.Amount.Currency {
			foreign = e
			continue
		}
		change := e.Amount
		if e.Debit == l.Debit {
			change.Minor = -change.Minor
		}
		var err error
		if paid, err = sum(paid, change); err != nil {
			return err
		}
		if latest == nil || e.Value.After(latest.Value) {
			latest = e
		}
	}
	notDue := len(entries) == 0 && !l.Due.IsZero() && r.in.AsOf.Before(l.Due)
	before := len(r.out.Breaks)
	if !notDue {
		r.judgeLeg(l, entries, paid, latest, foreign)
	}
	r.countLeg(l, entries, notDue, len(r.out.Breaks) > before)
	return nil
}

func (r *run) countLeg(l *Leg, entries []entry, notDue, differs bool) {
	t := r.tally(SideBank, "", BookInstructions, l.Amount.Currency)
	part := &t.Matched
	switch {
	case notDue:
		part = &t.NotDue
	case len(entries) == 0:
		part = &t.Alone
	case differs:
		part = &t.Differing
	}
	t.add(part, l.Amount.Minor)
	for _, e := range entries {
		t := r.tally(SideBank, "", BookStatement, e.Amount.Currency)
		part := &t.Matched
		if differs {
			part = &t.Differing
		}
		t.add(part, e.Amount.Minor)
	}
}

// judgeLeg finds the breaks of one leg that is due or has entries.
func (r *run) judgeLeg(l *Leg, entries []entry, paid tongma.Money, latest, foreign *entry) {
	owner := OwnerAgent
	if l.Debit {
		owner = OwnerParticipant // it is the participant that has to pay
	}
	add := func(kind Kind, owner Owner, expected, found string, risk tongma.Money, src Source) {
		r.found(Break{Kind: kind, Side: SideBank, Window: l.Window, Owner: owner, Participant: l.Participant, Movement: MoveLeg,
			Ref: l.ID, Expected: expected, Found: found, AtRisk: risk, Source: src})
	}
	words := "to pay "
	if !l.Debit {
		words = "to receive "
	}
	src := Source{}
	if len(entries) > 0 {
		src = entries[len(entries)-1].source
	}
	if foreign != nil {
		add(Currency, OwnerAgent, words+l.Amount.String(), foreign.String(), foreign.Amount, foreign.source)
	}
	risk := tongma.Money{Minor: distance(l.Amount.Minor, paid.Minor), Currency: l.Amount.Currency}
	switch {
	case paid.Minor <= 0:
		found := "no entry"
		if len(entries) > 0 {
			found = fmt.Sprintf("%s, entries: %d", paid, len(entries))
		}
		add(UnpaidNet, owner, words+l.Amount.String(), found, risk, src)
	case paid.Minor < l.Amount.Minor:
		add(Partial, owner, words+l.Amount.String(), fmt.Sprintf("%s, entries: %d", paid, len(entries)), risk, src)
	case paid.Minor > l.Amount.Minor:
		add(Overpaid, OwnerAgent, words+l.Amount.String(), fmt.Sprintf("%s, entries: %d", paid, len(entries)), risk, src)
	}
	if paid.Minor > 0 && latest != nil && !l.Due.IsZero() && !latest.Value.IsZero() && dayOf(latest.Value) > dayOf(l.Due) {
		add(LateValueDate, owner, "value date "+dayOf(l.Due), "value date "+dayOf(latest.Value), l.Amount, latest.source)
	}
}

func dayOf(t time.Time) string { return t.Format(time.DateOnly) }

// balances checks that each statement adds up, and goes on from the one before.
func (r *run) balances() error {
	seen := map[string]bool{}
	for i := range r.in.Statements {
		s := &r.in.Statements[i]
		hash := hexOf(s.Hash)
		if s.Opening.Currency == 0 || seen[hash] {
			continue
		}
		seen[hash] = true
		account := clean(s.Account)
		add := func(expected, found tongma.Money, words string) {
			r.found(Break{Kind: Balance, Side: SideBank, Owner: OwnerAgent, Movement: MoveAccount, Ref: account, Expected: words + expected.String(),
				Found: found.String(), AtRisk: between(expected, found), Source: Source{Hash: hash}})
		}
		if s.Previous.Currency != 0 && s.Previous != s.Opening {
			add(s.Previous, s.Opening, "opening balance as the statement before closed: ")
		}
		if s.Closing.Currency == 0 {
			continue
		}
		due := s.Opening
		for _, e := range s.Entries {
			if e.Amount.Currency != due.Currency {
				continue // a break of its own: no entry of this account can have another currency
			}
			change := e.Amount
			if e.Debit {
				change.Minor = -change.Minor
			}
			var err error
			if due, err = sum(due, change); err != nil {
				return err
			}
		}
		if due != s.Closing {
			add(due, s.Closing, "opening balance and entries: ")
		}
	}
	return nil
}

// between is how far two balances are apart: all of the second if it is in
// another currency.
func between(x, y tongma.Money) tongma.Money {
	if x.Currency != y.Currency {
		return tongma.Money{Minor: max(y.Minor, -y.Minor), Currency: y.Currency}
	}
	return tongma.Money{Minor: distance(x.Minor, y.Minor), Currency: x.Currency}
}

// sum adds, and refuses what would pass maxBankMinor either way.
func sum(x, y tongma.Money) (tongma.Money, error) {
	out, err := x.Add(y)
	if err != nil {
		return tongma.Money{}, err
	}
	if out.Minor > maxBankMinor || out.Minor < -maxBankMinor {
		return tongma.Money{}, fault(tongma.AmountInvalid, "recon.Reconcile", "a sum at the bank is out of bounds")
	}
	return out, nil
}

// proposeLegs names, for each entry that nobody expected, the legs that are open
// for the same amount, and the other way round.
func (r *run) proposeLegs(breaks []Break) {
	legs, entries := map[tongma.Money][]int{}, map[tongma.Money][]int{}
	for i := range breaks {
		switch b := &breaks[i]; b.Kind {
		case UnpaidNet, Partial:
			legs[b.AtRisk] = append(legs[b.AtRisk], i)
		case UnexpectedEntry:
			entries[b.AtRisk] = append(entries[b.AtRisk], i)
		}
	}
	for k, of := range legs {
		for _, i := range of {
			breaks[i].Proposal = named(breaks, entries[k], "same amount as entry ")
		}
		for _, i := range entries[k] {
			breaks[i].Proposal = named(breaks, of, "same amount as is open of ")
		}
	}
}

func named(breaks []Break, of []int, words string) string {
	if len(of) == 0 {
		return ""
	}
	names := make([]string, 0, len(of))
	for _, i := range of {
		names = append(names, breaks[i].Ref)
	}
	slices.Sort(names)
	if len(names) > maxCandidates {
		return words + fmt.Sprintf("%s and %d more", names[0], len(names)-1)
	}
	for i, name := range names {
		if i > 0 {
			words += ", "
		}
		words += name
	}
	return words
}

// name is what the agent, or else whoever sent the money, calls the entry.
func (e *entry) name() string { return cmp.Or(e.Ref, e.EndToEndID, e.UETR) }

// String says what the entry is, without its references.
func (e *entry) String() string {
	s := "credit "
	if e.Debit {
		s = "debit "
	}
	s += e.Amount.String()
	if !e.Value.IsZero() {
		s += ", value " + dayOf(e.Value)
	}
	return s
}

// maxBankText bounds a reference of the bank; ISO 20022 allows 35, a UETR has 36.
const maxBankText = 64

// clean makes foreign text safe for a line of a report: printable ASCII, bounded.
func clean(s string) string {
	if len(s) > maxBankText {
		s = s[:maxBankText]
	}
	b := []byte(s)
	for i, c := range b {
		if c < ' ' || c > '~' {
			b[i] = '?'
		}
	}
	return string(b)
}

// newRun names a run by what it compared.
func newRun(side string, windows []tongma.WindowID, in *Input, inputs []InputID) Run {
	text := fmt.Appendf(nil, "tongma reconciliation run 1\n%s\n%d\n%d\n", side, windows, in.Head)
	for _, id := range inputs {
		text = fmt.Appendf(text, "%s %s %d\n", id.Name, id.Hash, id.Rows)
	}
	hash := sha256.Sum256(text)
	return Run{ID: "run_" + hex.EncodeToString(hash[:16]), Side: side, Windows: windows, AsOf: in.AsOf, Head: in.Head, Inputs: inputs}
}
