package crash

import (
	"bufio"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// Entry is what the tests read of one line of the journal.
type Entry struct {
	Entry     uint64 `json:"entry"`
	Kind      string `json:"kind"`
	Payment   string `json:"payment"`
	Original  string `json:"original"`
	Operation string `json:"operation"`
	Asker     string `json:"asker"`
	Key       string `json:"key"`
	Debtor    string `json:"debtor"`
	Creditor  string `json:"creditor"`
	Scheme    string `json:"scheme"`
	Minor     int64  `json:"amount_minor"`
	Currency  string `json:"currency"`
	Window    uint64 `json:"window"`
	Reason    string `json:"reason_name"`
	Late      bool   `json:"late"`
	Fees      []struct {
		From  string `json:"from"`
		To    string `json:"to"`
		Minor int64  `json:"fee_minor"`
	} `json:"fees"`
}

// Booked is one payment as the journal tells it.
type Booked struct {
	First  Entry
	Phase  string
	Posts  int
	Reason string
	Told   uint64 // the entry of its end, if its asker had heard "pending" and is to be told
}

// open tells whether the payment is not decided.
func (p *Booked) open() bool {
	return p.Phase == "hold" || p.Phase == "pend" || p.Phase == "reversing"
}

// Account is a participant's position in a currency.
type Account struct{ Participant, Currency string }

// Books are recomputed from the journal's lines by rules written down here once
// more: nothing of the switch's own books is used.
type Books struct {
	Next      uint64 // entry that is to come
	Payments  map[string]*Booked
	Keys      map[[2]string]*Booked // by asker and key
	Positions map[Account]int64
	Faults    []string
}

// NewBooks returns empty ones.
func NewBooks() *Books {
	return &Books{Next: 1, Payments: map[string]*Booked{}, Keys: map[[2]string]*Booked{}, Positions: map[Account]int64{}}
}

func (b *Books) fault(e *Entry, format string, args ...any) {
	b.Faults = append(b.Faults, fmt.Sprintf("entry %d: ", e.Entry)+fmt.Sprintf(format, args...))
}

// Add takes the next line.
func (b *Books) Add(e Entry) {
	if e.Entry != b.Next {
		b.fault(&e, "want number %d", b.Next)
	}
	b.Next = e.Entry + 1
	switch e.Kind {
	case "refuse", "hold", "tombstone":
		b.begin(e)
	case "pend", "post", "void", "reversing", "reversed":
		b.change(e)
	case "settle":
		b.move(e.Creditor, e.Debtor, e.Currency, e.Minor)
	}
}

// move has somebody owe more and somebody less; whoever has no name is the
// settlement account, which is not kept.
func (b *Books) move(from, to, currency string, minor int64) {
	if from != "" {
		b.Positions[Account{from, currency}] += minor
	}
	if to != "" {
		b.Positions[Account{to, currency}] -= minor
	}
}

func (b *Books) begin(e Entry) {
	key := [2]string{e.Asker, e.Key}
	if b.Payments[e.Payment] != nil || b.Keys[key] != nil {
		b.fault(&e, "payment or key is there already")
	}
	p := &Booked{First: e, Phase: e.Kind, Reason: e.Reason}
	b.Payments[e.Payment], b.Keys[key] = p, p
}

// follows says behind which phases each kind may come.
var follows = map[string]string{
	"pend": "hold", "post": "hold pend", "void": "hold pend", "reversing": "hold pend post", "reversed": "reversing",
}

func (b *Books) change(e Entry) {
	p := b.Payments[e.Payment]
	if p == nil || !strings.Contains(follows[e.Kind], p.Phase) {
		b.fault(&e, "%s of a payment that is unknown or past it", e.Kind)
		return
	}
	switch {
	case e.Kind == "post":
		p.Posts++
		b.move(p.First.Debtor, p.First.Creditor, p.First.Currency, p.First.Minor)
	case e.Kind == "reversed" && p.Posts > 0:
		b.move(p.First.Creditor, p.First.Debtor, p.First.Currency, p.First.Minor)
	}
	for _, fee := range e.Fees { // of a posting, or given back by what turns it back
		b.move(fee.From, fee.To, p.First.Currency, fee.Minor)
	}
	if p.Phase, p.Told = e.Kind, 0; e.Late && !p.open() {
		p.Told = e.Entry
	}
	if e.Reason != "" {
		p.Reason = e.Reason
	}
}

// Unfinished returns how many payments are not decided.
func (b *Books) Unfinished() (n int) {
	for _, p := range b.Payments {
		if p.open() {
			n++
		}
	}
	return n
}

// Dumped recomputes the books from the dump of the journal that was audited, and
// compares its positions with those of the audit.
func Dumped(t testing.TB, a Audit, where ...string) *Books {
	t.Helper()
	stdout := Dump(t, where...)
	b := NewBooks()
	lines := bufio.NewScanner(strings.NewReader(stdout))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("journal dump: %v in %q", err, lines.Text())
		}
		b.Add(e)
	}
	for _, f := range b.Faults {
		t.Errorf("journal: %s", f)
	}
	if b.Next-1 != a.Entries {
		t.Errorf("dump has %d entries, audit %d", b.Next-1, a.Entries)
	}
	sums := map[string]int64{}
	for k, minor := range b.Positions {
		sums[k.Currency] += minor
	}
	for c, minor := range sums {
		if minor != 0 {
			t.Errorf("positions of %s add up to %d, want 0", c, minor)
		}
	}
	for _, p := range a.Positions {
		if got := b.Positions[Account{p.Participant, p.Currency}]; got != p.Position {
			t.Errorf("position of %s in %s: dump %d, audit %d", p.Participant, p.Currency, got, p.Position)
		}
	}
	return b
}

// Dump returns the lines of a journal.
func Dump(t testing.TB, where ...string) string {
	t.Helper()
	stdout, stderr, code := Run(t, append([]string{"journal", "dump", "--json"}, where...)...)
	if code != 0 {
		t.Fatalf("journal dump: exit %d\n%s", code, stderr)
	}
	return stdout
}
