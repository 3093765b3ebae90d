package agentsim

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/iso20022"
)

// reportID names a report by what it says.
func reportID(kind string, parts ...any) string {
	sum := sha256.Sum256(fmt.Append([]byte(kind), parts...))
	return kind + hex.EncodeToString(sum[:12])
}

func dateOf(s string) iso20022.Date {
	d, _ := iso20022.ParseDate(s)
	return d
}

func (t *transaction) status() iso20022.Status {
	s := iso20022.Status{Instruction: t.ID, UETR: t.UETR, Original: t.Message, Code: t.Code, Reason: t.Reason, AgentRef: t.Ref}
	if t.Settled != "" {
		s.Settled = dateOf(t.Settled)
	}
	return s
}

// answer reports on every instruction of a message, as they stand now: a camt.025
// on a camt.050, and a pacs.002 on all others.
func (b *bank) answer(m *message, now time.Time) (iso20022.Document, error) {
	var all []iso20022.Status
	for _, id := range m.Legs {
		all = append(all, b.transactions[id].status())
	}
	if m.About == string(iso20022.Camt050) {
		return iso20022.Receipt(reportID("RCT", m.ID, now.UnixMilli()), now, iso20022.Status{Original: m.ID, Code: all[0].Code, Reason: all[0].Reason})
	}
	return iso20022.StatusReport(reportID("STS", m.ID, now.UnixMilli()), now, iso20022.Definition(m.About), all)
}

// answerTwice reports on a message of which instructions are refused since they were taken
// before: what became of those then, their status says.
func (b *bank) answerTwice(o *iso20022.Order, w *worker) (iso20022.Document, error) {
	var all []iso20022.Status
	for i := range o.Legs {
		if l := &o.Legs[i]; w.twice[l.ID] {
			all = append(all, duplicate(o, l))
		} else {
			all = append(all, b.transactions[l.ID].status())
		}
	}
	if o.Definition == iso20022.Camt050 {
		return iso20022.Receipt(reportID("RCT", o.ID, w.now.UnixMilli()), w.now, iso20022.Status{Original: o.ID, Code: all[0].Code, Reason: all[0].Reason})
	}
	return iso20022.StatusReport(reportID("STS", o.ID, w.now.UnixMilli()), w.now, o.Definition, all)
}

// waiting tells whether some instruction of a message has not come to its end.
func (b *bank) waiting(m *message) bool {
	for _, id := range m.Legs {
		if b.transactions[id].Code == codePending {
			return true
		}
	}
	return false
}

func (b *bank) statusOf(t *transaction, now time.Time) (iso20022.Document, error) {
	return iso20022.StatusReport(reportID("STS", t.ID, now.UnixMilli()), now, iso20022.Definition(t.About), []iso20022.Status{t.status()})
}

// entry is a movement as one of its two accounts sees it.
func (m *Movement) entry(account string) iso20022.Entry {
	c, _ := tongma.CurrencyByCode(m.Currency)
	amount := tongma.Money{Minor: m.Minor, Currency: c}
	return iso20022.Entry{Reference: m.Ref(), Amount: amount, Credit: m.To == account, Booked: true, Status: "BOOK",
		BookingDate: dateOf(m.Booked), ValueDate: dateOf(m.Value), AgentRef: m.Ref(),
		Details: []iso20022.Detail{{Message: m.Message, EndToEnd: m.ID, UETR: m.UETR, AgentRef: m.Ref(), Amount: amount, Credit: m.To == account}}}
}

// Bounds of one report.
const (
	maxAdvice  = 500
	maxEntries = 9000 // of a statement: what its reader takes
)

// advice reports movements on settlement accounts behind a number, or those of one
// instruction, and returns the number to go on from.
func (b *bank) advice(after uint64, instruction string, now time.Time) (d iso20022.Document, next uint64, err error) {
	var order []accountKey
	entries := map[accountKey][]iso20022.Entry{}
	next = after
	for i := min(after, uint64(len(b.movements))); i < uint64(len(b.movements)) && len(order) < maxAdvice; i++ {
		m := &b.movements[i]
		next = m.Number
		if instruction != "" && m.ID != instruction {
			continue
		}
		for _, id := range [...]string{m.From, m.To} {
			k := accountKey{id, m.Currency}
			if b.accounts[k].Kind != Settlement {
				continue
			}
			if entries[k] == nil {
				order = append(order, k)
			}
			entries[k] = append(entries[k], m.entry(id))
		}
		if next-after >= maxAdvice && instruction == "" {
			break
		}
	}
	if len(order) == 0 {
		return d, next, nil
	}
	var all []iso20022.Advice
	for _, k := range order {
		a := b.accounts[k]
		all = append(all, iso20022.Advice{ID: reportID("ADV", k.id, k.currency, after, instruction, next), Created: now, Account: accountID(a.ID),
			Currency: a.Currency, Entries: entries[k]})
	}
	d, err = iso20022.AdviceReport(reportID("NTF", after, instruction, next), now, all)
	return d, next, err
}

// accountID tells an IBAN from another number: two letters and two digits in front,
// and right check digits, which the message's writer looks at again.
func accountID(id string) iso20022.Account {
	if iso20022.ValidIBAN(id) {
		return iso20022.Account{IBAN: id}
	}
	return iso20022.Account{Other: id}
}

// statement reports an account's day: what was booked on it, between the balance
// at its start and that at its end.
func (b *bank) statement(a *Account, day string, now time.Time) (iso20022.Document, error) {
	s := iso20022.Statement{ID: reportID("STM", a.ID, a.Code, day), Created: now, Account: accountID(a.ID), Currency: a.Currency,
		Opening: iso20022.Balance{Amount: tongma.Money{Currency: a.Currency}, Date: dateOf(day)}}
	for i := range b.movements {
		m := &b.movements[i]
		if m.Currency != a.Code || (m.From != a.ID && m.To != a.ID) || m.Booked > day {
			continue
		}
		e := m.entry(a.ID)
		if m.Booked == day {
			s.Entries = append(s.Entries, e)
			continue
		}
		signed := e.Signed()
		s.Opening.Amount.Minor += signed.Minor
	}
	if f, ok := b.standing(StatementMissing, a.ID); ok {
		s.Entries = s.Entries[:max(0, len(s.Entries)-f.Times)]
	}
	if len(s.Entries) > maxEntries {
		return iso20022.Document{}, &tongma.Error{Op: "agentsim.statement", Reason: tongma.MessageTooLong, Detail: strconv.Itoa(len(s.Entries)) + " entries in one day"}
	}
	s.Closing = s.Opening
	for i := range s.Entries {
		signed := s.Entries[i].Signed()
		s.Closing.Amount.Minor += signed.Minor
	}
	all := []iso20022.Statement{s}
	if _, ok := b.standing(StatementTwice, a.ID); ok {
		s.ID = reportID("STM", a.ID, a.Code, day, "again")
		all = append(all, s)
	}
	return iso20022.StatementReport(reportID("STA", a.ID, a.Code, day, now.UnixMilli()), now, all)
}
