package office

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/iso20022"
	"github.com/tongma/tongma/clearing/recon"
)

// agentFile is what one message of the settlement agent says.
type agentFile struct {
	hash       [32]byte
	created    time.Time // of the message; zero if it does not say
	statements []recon.Statement
	closes     []time.Time // day of the closing balance of each; zero for advices
}

// readAgent reads a camt.053 or camt.054. Of the entries the booked ones count,
// and each transaction of an entry for itself. The first statement carries the
// SHA-256 of the message, each further one that of the message's hash and its own
// place: they are not the same statement twice.
func readAgent(data []byte) (agentFile, error) {
	m, err := iso20022.Read(data)
	if err != nil {
		return agentFile{}, err
	}
	f := agentFile{hash: sha256.Sum256(data), created: m.Created}
	for i := range m.Statements {
		s := &m.Statements[i]
		f.statements = append(f.statements, recon.Statement{Account: accountName(s.Account), Hash: placed(f.hash, len(f.statements)),
			Entries: bankEntries(s.Entries), Opening: s.Opening.Amount, Closing: s.Closing.Amount})
		f.closes = append(f.closes, midnight(s.Closing.Date))
	}
	for i := range m.Advices {
		a := &m.Advices[i]
		f.statements = append(f.statements, recon.Statement{Account: accountName(a.Account), Hash: placed(f.hash, len(f.statements)), Entries: bankEntries(a.Entries)})
		f.closes = append(f.closes, time.Time{})
	}
	if len(f.statements) == 0 {
		return agentFile{}, &tongma.Error{Op: "office.reconcile", Reason: tongma.MessageMalformed, Detail: "the message is neither a statement nor an advice"}
	}
	return f, nil
}

func placed(hash [32]byte, place int) [32]byte {
	if place == 0 {
		return hash
	}
	return sha256.Sum256(binary.BigEndian.AppendUint64(hash[:], uint64(place)))
}

func accountName(a iso20022.Account) string { return cmp.Or(a.IBAN, a.Other) }

func midnight(d iso20022.Date) time.Time {
	if d.IsZero() {
		return time.Time{}
	}
	return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC)
}

// bankEntries turns booked entries into one for each of their transactions. What
// the transactions of an entry do not account for stays as an entry of its own,
// so that the sum is that of the statement.
func bankEntries(entries []iso20022.Entry) []recon.BankEntry {
	var out []recon.BankEntry
	for i := range entries {
		e := &entries[i]
		if !e.Booked {
			continue
		}
		whole := recon.BankEntry{Ref: cmp.Or(e.AgentRef, e.Reference), Debit: !e.Credit, Amount: e.Amount,
			Booked: midnight(e.BookingDate), Value: midnight(e.ValueDate)}
		left := e.Signed().Minor
		for _, d := range e.Details {
			if d.Amount.Currency != e.Amount.Currency || d.Amount.Minor == 0 {
				continue
			}
			one := whole
			one.Ref, one.EndToEndID, one.UETR = cmp.Or(d.AgentRef, whole.Ref), d.EndToEnd, d.UETR
			one.Debit, one.Amount = !d.Credit, d.Amount
			out = append(out, one)
			if d.Credit {
				left -= d.Amount.Minor
			} else {
				left += d.Amount.Minor
			}
		}
		if left != 0 || len(e.Details) == 0 {
			whole.Debit, whole.Amount.Minor = left < 0, max(left, -left)
			out = append(out, whole)
		}
	}
	return out
}

// sortAgent puts messages into the order in which they were made, those of one
// moment by their hash.
func sortAgent(files []agentFile) {
	slices.SortFunc(files, func(x, y agentFile) int {
		return cmp.Or(x.created.Compare(y.created), bytes.Compare(x.hash[:], y.hash[:]))
	})
}

// previous gives each statement the closing balance of the one before it on the
// same account in its currency, so that a missing day is seen.
func previous(files []agentFile) []recon.Statement {
	type closed struct {
		day time.Time
		at  int
	}
	type account struct {
		name     string
		currency tongma.Currency
	}
	var out []recon.Statement
	byAccount := map[account][]closed{}
	for _, f := range files {
		for i, s := range f.statements {
			if day := f.closes[i]; !day.IsZero() {
				k := account{s.Account, s.Closing.Currency}
				byAccount[k] = append(byAccount[k], closed{day, len(out)})
			}
			out = append(out, s)
		}
	}
	for _, days := range byAccount {
		slices.SortStableFunc(days, func(x, y closed) int { return x.day.Compare(y.day) })
		for i := 1; i < len(days); i++ {
			if days[i-1].day.Before(days[i].day) {
				out[days[i].at].Previous = out[days[i-1].at].Closing
			}
		}
	}
	return out
}

// cycleInfo is what the journal tells of a window beside its movements.
type cycleInfo struct {
	model              string
	closed, instructed time.Time
	cutoff             time.Time // zero: closed by hand
	value              time.Time // day that it settles on; zero: not told
	settled            bool
	confirmed          map[string]*recon.Leg // by the instruction's id
	order              []string
}

// cycles are the windows of the journal.
type cycles map[tongma.WindowID]*cycleInfo

func (c cycles) of(w tongma.WindowID) *cycleInfo {
	if c[w] == nil {
		c[w] = &cycleInfo{confirmed: map[string]*recon.Leg{}}
	}
	return c[w]
}

// add takes in an entry of a window.
func (c cycles) add(e *clearing.Entry) {
	at := time.UnixMilli(e.Time).UTC()
	switch e.Kind {
	case clearing.KindClose:
		info := c.of(e.Window)
		info.closed, info.model = at, e.Model
		if e.Cutoff != 0 {
			info.cutoff = time.UnixMilli(e.Cutoff).UTC()
		}
		if d := int(e.ValueDate); d != 0 {
			info.value = time.Date(d/10000, time.Month(d/100%100), d%100, 0, 0, 0, 0, time.UTC)
		}
	case clearing.KindInstruct:
		c.of(e.Window).instructed = at
	case clearing.KindSettled:
		c.of(e.Window).settled = true
	case clearing.KindSettle:
		c.of(e.Window).confirm(e, e.Debtor, e.Creditor)
	case clearing.KindCover:
		c.of(e.Window).confirm(e, e.Creditor, e.Asker)
	}
}

// confirm adds what was confirmed of a leg, or paid for it by whoever covered it.
// What has no instruction's id cannot be looked for at the bank, and what went
// from one participant to another does not pass the settlement account.
func (c *cycleInfo) confirm(e *clearing.Entry, from, to tongma.ParticipantID) {
	p, debit := from, true
	if p == "" {
		p, debit = to, false
	}
	if e.SchemeRef == "" || (from != "" && to != "") {
		return
	}
	l := c.confirmed[e.SchemeRef]
	if l == nil {
		l = &recon.Leg{Instruction: clearing.Instruction{ID: e.SchemeRef, Window: e.Window, Participant: p, Debit: debit,
			Amount: tongma.Money{Currency: e.Amount.Currency}, Sheet: e.Hash}}
		c.confirmed[e.SchemeRef] = l
		c.order = append(c.order, e.SchemeRef)
	}
	l.Amount.Minor += e.Amount.Minor
}

// instructedBy tells whether a message of that time may know of the instructions. It tells
// its time in seconds: what was instructed within that second may be in it.
func (c *cycleInfo) instructedBy(until time.Time) bool {
	return !c.instructed.IsZero() && !c.instructed.Truncate(time.Second).After(until)
}

// reportedUntil returns until when the agent's messages tell what it did, by currency.
// One that does not say when it was made tells all until now.
func reportedUntil(files []agentFile, now time.Time) map[tongma.Currency]time.Time {
	until := map[tongma.Currency]time.Time{}
	for _, f := range files {
		at := f.created
		if at.IsZero() {
			at = now
		}
		see := func(c tongma.Currency) {
			if c.Valid() && !until[c].After(at) {
				until[c] = at
			}
		}
		for i := range f.statements {
			s := &f.statements[i]
			see(s.Opening.Currency)
			see(s.Closing.Currency)
			for k := range s.Entries {
				see(s.Entries[k].Amount.Currency)
			}
		}
	}
	return until
}

// legs returns what the bank's statements should show of all windows that were
// instructed before until: what was confirmed, and what is still due.
func (c cycles) legs(until time.Time, due func(tongma.WindowID) []clearing.Instruction) []recon.Leg {
	windows := make([]tongma.WindowID, 0, len(c))
	for w, info := range c {
		if info.instructedBy(until) {
			windows = append(windows, w)
		}
	}
	slices.Sort(windows)
	var legs []recon.Leg
	add := func(l recon.Leg, info *cycleInfo) {
		l.UETR = iso20022.UETR(l.ID)
		if !info.value.IsZero() {
			l.Due = info.value.Add(24*time.Hour - time.Nanosecond)
		}
		legs = append(legs, l)
	}
	for _, w := range windows {
		info := c[w]
		for _, id := range info.order {
			add(*info.confirmed[id], info)
		}
		if info.settled {
			continue
		}
		for _, in := range due(w) {
			if info.confirmed[in.ID] == nil && (in.Debtor == "" || in.Creditor == "") {
				add(recon.Leg{Instruction: in}, info)
			}
		}
	}
	return legs
}
