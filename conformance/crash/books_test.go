package crash_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// entry is what the tests read of one line of the journal.
type entry struct {
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
}

// booked is one payment as the journal tells it.
type booked struct {
	first  entry
	phase  string
	posts  int
	reason string
	told   uint64 // the entry of its end, if its asker had heard "pending" and is to be told
}

// open tells whether the payment is not decided.
func (p *booked) open() bool {
	return p.phase == "hold" || p.phase == "pend" || p.phase == "reversing"
}

type account struct{ participant, currency string }

// books are recomputed from the journal's lines by rules written down here once
// more: nothing of the switch's own books is used.
type books struct {
	next      uint64
	payments  map[string]*booked
	keys      map[[2]string]*booked
	positions map[account]int64
	faults    []string
}

func newBooks() *books {
	return &books{next: 1, payments: map[string]*booked{}, keys: map[[2]string]*booked{}, positions: map[account]int64{}}
}

func (b *books) fault(e *entry, format string, args ...any) {
	b.faults = append(b.faults, fmt.Sprintf("entry %d: ", e.Entry)+fmt.Sprintf(format, args...))
}

func (b *books) add(e entry) {
	if e.Entry != b.next {
		b.fault(&e, "want number %d", b.next)
	}
	b.next = e.Entry + 1
	switch e.Kind {
	case "refuse", "hold", "tombstone":
		b.begin(e)
	case "pend", "post", "void", "reversing", "reversed":
		b.change(e)
	case "settle":
		if e.Debtor != "" {
			b.positions[account{e.Debtor, e.Currency}] -= e.Minor
		} else {
			b.positions[account{e.Creditor, e.Currency}] += e.Minor
		}
	}
}

func (b *books) begin(e entry) {
	key := [2]string{e.Asker, e.Key}
	if b.payments[e.Payment] != nil || b.keys[key] != nil {
		b.fault(&e, "payment or key is there already")
	}
	p := &booked{first: e, phase: e.Kind, reason: e.Reason}
	b.payments[e.Payment], b.keys[key] = p, p
}

// follows says behind which phases each kind may come.
var follows = map[string]string{
	"pend": "hold", "post": "hold pend", "void": "hold pend", "reversing": "hold pend post", "reversed": "reversing",
}

func (b *books) change(e entry) {
	p := b.payments[e.Payment]
	if p == nil || !strings.Contains(follows[e.Kind], p.phase) {
		b.fault(&e, "%s of a payment that is unknown or past it", e.Kind)
		return
	}
	debtor, creditor := account{p.first.Debtor, p.first.Currency}, account{p.first.Creditor, p.first.Currency}
	switch {
	case e.Kind == "post":
		p.posts++
		b.positions[debtor] += p.first.Minor
		b.positions[creditor] -= p.first.Minor
	case e.Kind == "reversed" && p.posts > 0:
		b.positions[debtor] -= p.first.Minor
		b.positions[creditor] += p.first.Minor
	}
	if p.phase, p.told = e.Kind, 0; e.Late && !p.open() {
		p.told = e.Entry
	}
	if e.Reason != "" {
		p.reason = e.Reason
	}
}

// unfinished returns how many payments are not decided.
func (b *books) unfinished() (n int) {
	for _, p := range b.payments {
		if p.open() {
			n++
		}
	}
	return n
}

// settleDown waits until a running switch holds no amount for anybody.
func settleDown(t *testing.T, s *site, within time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	token := s.token(t, "operator")
	for {
		held, err := holding(ctx, s, token)
		if err == nil && len(held) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("after %v amounts are still held: %v (%v)", within, held, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// holding returns the accounts in which an amount is held.
func holding(ctx context.Context, s *site, token string) (held []string, err error) {
	body, err := s.ask(ctx, "GET", "/v1/positions", token, "", nil)
	if err != nil {
		return nil, err
	}
	var list struct {
		Positions []struct{ Participant, Currency, Reserved string }
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, err
	}
	for _, p := range list.Positions {
		if strings.Trim(p.Reserved, "0.") != "" {
			held = append(held, p.Participant+" "+p.Reserved+" "+p.Currency)
		}
	}
	return held, nil
}

// dumped recomputes the books from the dump of a stopped switch's journal, and
// compares its positions with those of the audit.
func dumped(t *testing.T, s *site, a audit) *books {
	t.Helper()
	stdout := dump(t, s.data)
	b := newBooks()
	lines := bufio.NewScanner(strings.NewReader(stdout))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("journal dump: %v in %q", err, lines.Text())
		}
		b.add(e)
	}
	for _, f := range b.faults {
		t.Errorf("journal: %s", f)
	}
	if b.next-1 != a.Entries {
		t.Errorf("dump has %d entries, audit %d", b.next-1, a.Entries)
	}
	sums := map[string]int64{}
	for k, minor := range b.positions {
		sums[k.currency] += minor
	}
	for c, minor := range sums {
		if minor != 0 {
			t.Errorf("positions of %s add up to %d, want 0", c, minor)
		}
	}
	for _, p := range a.Positions {
		if got := b.positions[account{p.Participant, p.Currency}]; got != p.Position {
			t.Errorf("position of %s in %s: dump %d, audit %d", p.Participant, p.Currency, got, p.Position)
		}
	}
	return b
}
