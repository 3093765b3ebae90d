package scripted

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"
	"time"

	"github.com/tongma/tongma"
)

// Kind is which way money moves, seen from the wallet's customer.
type Kind string

const (
	Debit  Kind = "debit"  // a payer paid
	Credit Kind = "credit" // a merchant was paid
	Refund Kind = "refund" // all or part was given back
)

func kindOf(op tongma.Operation) Kind {
	if op == tongma.OpAccept {
		return Credit
	}
	return Debit
}

// state is where a payment stands in the wallet's books.
type state uint8

const (
	waiting  state = iota // nothing has moved yet
	posted                // the money has moved
	declined              // it has not, and will not
	reversed              // undone, or never to be done
)

// payment is one entry of the books.
type payment struct {
	id, original tongma.PaymentID
	kind         Kind
	amount       tongma.Money
	outcome      Outcome
	state        state
	reason       tongma.Reason
	ready        time.Time // when a waiting one is decided
	at           int64     // when it was decided, Unix milliseconds
	refunded     int64     // minor units, of a debit or a credit
	tries        int       // reversals asked for so far
	moved        bool      // reversed after it was posted
}

// unseen tells whether only a reversal of the payment was seen.
func (p *payment) unseen() bool { return p.reason == tongma.ReversedBeforeOriginal }

// answer says how the payment stands, in the same words every time.
func (p *payment) answer(now time.Time) tongma.Answer {
	a := tongma.Answer{Reason: p.reason, At: p.at}
	switch p.state {
	case posted:
		text := p.id.String()
		a.Outcome, a.Status, a.Amount = tongma.Approved, tongma.Paid, p.amount
		a.SchemeRef, a.Approval = "SB"+text[len(text)-16:], fmt.Sprintf("%06d", uint32(p.id[15])|uint32(p.id[14])<<8)
	case declined:
		a.Outcome, a.Status = tongma.Declined, tongma.Refused
	case reversed:
		a.Outcome, a.Status = tongma.Declined, tongma.ReversedBack
	default:
		a.At, a.After = 0, min(max(p.ready.Sub(now), time.Millisecond), time.Minute)
	}
	return a
}

// undone acknowledges a reversal.
func (p *payment) undone() tongma.Answer {
	return tongma.Answer{Outcome: tongma.Approved, Status: tongma.ReversedBack, At: p.at}
}

// Line is one entry of the books, as it stands now.
type Line struct {
	Payment  tongma.PaymentID
	Original tongma.PaymentID // of a refund
	Kind     Kind
	Amount   tongma.Money
	Moved    bool // the money has moved, and has not been moved back
	Reversed bool // it was moved back, or is barred from ever moving
	Refunded tongma.Money
}

// Total is what all lines of one currency come to, in minor units.
type Total struct {
	Debited, Credited int64 // moved and not reversed
	Refunded          int64 // moved and not reversed
	Reversed          int64 // moved and moved back
}

// Books are the wallet's books at one moment.
type Books struct {
	Lines  []Line // ordered by payment id
	Totals map[tongma.Currency]Total
}

// Ledger returns the books as they stand now.
func (w *Wallet) Ledger() Books {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := Books{Totals: make(map[tongma.Currency]Total)}
	for _, p := range w.payments {
		_ = w.ripen(p) // if it cannot be logged it has not moved
		b.add(p)
	}
	sort.Slice(b.Lines, func(i, j int) bool { return bytes.Compare(b.Lines[i].Payment[:], b.Lines[j].Payment[:]) < 0 })
	return b
}

func (b *Books) add(p *payment) {
	l := Line{Payment: p.id, Original: p.original, Kind: p.kind, Amount: p.amount, Moved: p.state == posted, Reversed: p.state == reversed}
	l.Refunded = tongma.Money{Minor: p.refunded, Currency: p.amount.Currency}
	b.Lines = append(b.Lines, l)
	t := b.Totals[p.amount.Currency]
	switch {
	case p.moved:
		t.Reversed += p.amount.Minor
	case !l.Moved:
		return
	case p.kind == Debit:
		t.Debited += p.amount.Minor
	case p.kind == Credit:
		t.Credited += p.amount.Minor
	case p.kind == Refund:
		t.Refunded += p.amount.Minor
	}
	b.Totals[p.amount.Currency] = t
}

// Line returns the entry of one payment, and whether there is one.
func (w *Wallet) Line(id tongma.PaymentID) (Line, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.payments[id]
	if p == nil {
		return Line{}, false
	}
	_ = w.ripen(p) // if it cannot be logged it has not moved
	var b Books
	b.Totals = make(map[tongma.Currency]Total)
	b.add(p)
	return b.Lines[0], true
}

// movements is the log of everything that has moved. A nil one keeps nothing.
type movements struct {
	file *os.File
	err  error
}

// movement is a line of the log.
type movement struct {
	Move     string           `json:"move"` // a Kind, "reverse" or "tombstone"
	At       int64            `json:"at"`
	Payment  tongma.PaymentID `json:"payment"`
	Original tongma.PaymentID `json:"original,omitzero"`
	Minor    int64            `json:"minor,omitempty"`
	Currency string           `json:"currency,omitempty"`
	Outcome  string           `json:"outcome,omitempty"`
}

// maxLine bounds a line of the log; replaying reads the file line by line.
const maxLine = 4 << 10

// openMovements hands every line of the file to replay, cuts off a torn end, and
// appends from then on.
func openMovements(name string, replay func(movement) error) (*movements, error) {
	data, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	whole := 0
	for n := 1; ; n++ {
		end := bytes.IndexByte(data[whole:], '\n')
		if end < 0 {
			break
		}
		var m movement
		if end > maxLine || json.Unmarshal(data[whole:whole+end], &m) != nil {
			return nil, fmt.Errorf("scripted: %s line %d cannot be read", name, n)
		}
		if err := replay(m); err != nil {
			return nil, fmt.Errorf("scripted: %s line %d: %w", name, n, err)
		}
		whole += end + 1
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(int64(whole)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &movements{file: f}, nil
}

// append returns when the movement is on the disk. After a failure it fails for
// good: what reached the disk is not known.
func (m *movements) append(p *payment, move string, amount tongma.Money) error {
	if m == nil {
		return nil
	}
	if m.err != nil {
		return m.err
	}
	line := movement{Move: move, At: p.at, Payment: p.id, Original: p.original, Minor: amount.Minor, Outcome: p.outcome.String()}
	if amount != (tongma.Money{}) {
		line.Currency = amount.Currency.Code()
	}
	text, _ := json.Marshal(line) // strings and numbers only: cannot fail
	if _, m.err = m.file.Write(append(text, '\n')); m.err == nil {
		m.err = m.file.Sync()
	}
	return m.err
}

func (m *movements) close() error {
	if m == nil || errors.Is(m.err, os.ErrClosed) {
		return nil
	}
	m.err = os.ErrClosed
	return m.file.Close()
}

// replay does a movement of the log again.
func (w *Wallet) replay(m movement) error {
	if m.Move == "reverse" {
		p := w.payments[m.Payment]
		if p == nil {
			p = &payment{id: m.Payment, at: m.At} // it was waiting, and had not moved
			w.payments[m.Payment] = p
		}
		w.reverse(p)
		return nil
	}
	p := &payment{id: m.Payment, original: m.Original, at: m.At}
	p.outcome, _ = ParseOutcome(m.Outcome)
	if m.Move == "tombstone" {
		p.state, p.reason = reversed, tongma.ReversedBeforeOriginal
		w.payments[p.id] = p
		return nil
	}
	currency, ok := tongma.CurrencyByCode(m.Currency)
	if !ok {
		return &tongma.Error{Op: "scripted", Reason: tongma.CurrencyUnknown}
	}
	p.kind, p.amount, p.state = Kind(m.Move), tongma.Money{Minor: m.Minor, Currency: currency}, posted
	if original := w.payments[p.original]; p.kind == Refund && original != nil {
		original.refunded += p.amount.Minor
	}
	w.payments[p.id] = p
	return nil
}
