package switching

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/exchange"
	"github.com/tongma/tongma/clearing/scripttest"
	"github.com/tongma/tongma/codespec"
	"github.com/tongma/tongma/codespec/emv"
	"github.com/tongma/tongma/schemes"
)

// TestExchangeScripts runs testdata/exchange-*.script, one money rule each. A line is
// what somebody does, an arrow, and what was answered; indented lines belong to the
// line above.
//
//	pay KEY AMOUNT CUR                 the shop scans a payer's code; "code N" for one that was shown before
//	resolve AMOUNT CUR                 the wallet scans the shop's code; "as Q" names the quote, "in CUR" what its payer pays in
//	transfer KEY AMOUNT CUR            and pays it; "quote ID" that the payer was shown; both "at SHOP" if not at the usual one
//	refund KEY of KEY AMOUNT CUR       asked by the shop
//	reverse KEY                        by who had asked for the payment
//	inquire KEY by WHO; ends KEY       the second waits until it is decided
//	dealer WHO RATE                    what the dealer says from now on, when it is asked: "HKD/THB 4.2 target", or silent;
//	                                   "for 30s", "id Q" or "id each-twice", "source AMOUNT CUR" if not what follows from the rate
//	wallet declines|vanishes|vanishes-and-waits|confirms  what it does with the next question
//	asked                              the last question to a wallet's or a shop's network
//	position WHO CUR, cap WHO AMOUNT CUR
//	wait DURATION; restart; sheet
func TestExchangeScripts(t *testing.T) {
	scripttest.Run(t, "testdata/exchange-*.script", 5, func(t *testing.T, text string) string {
		s := newBourse(t)
		got := s.render(text)
		if r, err := clearing.Audit(t.Context(), s.store, clearing.AuditOptions{}); err != nil || !r.OK {
			t.Fatalf("audit: %v %+v", err, r.Findings)
		}
		return got
	})
}

// bourseMarket has a wallet of Hong Kong dollars and of dollars, a shop that is paid
// in anything else, and three dealers: two of test rates, one that is asked.
const bourseMarket = `
name: bourse
rules: default
participants:
  - {id: shop, name: Shop, country: CN, roles: [acquirer], acquirer_ids: ["00010344"], issuer_code: "2001", accepts: all,
     caps: {THB: "100000.00", JPY: "1000000", KWD: "1000.000", CLF: "1000.0000", HKD: "1000.00"}}
  - {id: wallet, name: Wallet, country: CN, roles: [issuer], accepts: all, caps: {HKD: "1000.00", USD: "1000.00"}}
  - {id: fx-a, name: Dealer A, country: CN, roles: [service], caps: {HKD: "100000.00", USD: "100000.00", THB: "5000.00", JPY: "1000000", KWD: "1000.000", CLF: "1000.0000"},
     dealer: {quote_lifetime: 30s, pairs: [
       {from: HKD, to: THB, decimals: 4, margin_basis_points: "25", test_rate: "4.1975"},
       {from: HKD, to: JPY, decimals: 4, test_rate: "19.2345"},
       {from: HKD, to: KWD, decimals: 6, test_rate: "0.039412"},
       {from: HKD, to: CLF, decimals: 8, test_rate: "0.00316431"}]}}
  - {id: fx-b, name: Dealer B, country: CN, roles: [service], caps: {HKD: "100000.00", THB: "3000.00"},
     dealer: {quote_lifetime: 30s, pairs: [{from: HKD, to: THB, decimals: 4, margin_basis_points: "25", test_rate: "4.1975"}]}}
  - {id: fx-c, name: Dealer C, country: CN, roles: [service], caps: {HKD: "100000.00", USD: "100000.00", THB: "100000.00"},
     dealer: {quote_lifetime: 30s, pairs: [{from: HKD, to: THB, decimals: 4}, {from: USD, to: THB, decimals: 4}]}}
schemes:
  - {id: wechat, name: W, participant: wallet, countries: [CN], currencies: [HKD, USD], exchange: true, max_payment: {HKD: "800.00"}}
  - {id: north, name: N, participant: shop, countries: [CN], currencies: [THB, JPY, KWD, CLF, HKD]}
`

// bourse is the market, with a clock that can be put forward.
type bourse struct {
	*bench
	ahead  atomic.Int64
	ids    atomic.Uint32
	fxC    saidQuotes
	codes  int
	byKey  map[string]tongma.PaymentID
	asker  map[string]tongma.ParticipantID
	quotes map[string]string // ids, by the script's names
	opened *schemes.Directory

	registry  *schemes.Registry
	begun     []string // who is asked for quotes from when on, and who no more
	newcomers map[tongma.ParticipantID]*saidQuotes
}

// saidQuotes is a dealer that says what the script tells it.
type saidQuotes struct {
	text, id string
	source   tongma.Money
	life     time.Duration
	now      func() time.Time
	asked    atomic.Int32
}

func (q *saidQuotes) Quote(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	n := q.asked.Add(1)
	if q.text == "" {
		<-ctx.Done()
		return tongma.Answer{}, &tongma.Error{Op: "dealer", Reason: tongma.SchemeSilent, Err: ctx.Err()}
	}
	id := q.id
	switch id {
	case "":
		id = fmt.Sprintf("c-%d", n)
	case "each-twice":
		id = fmt.Sprintf("twice-%d", n/2)
	}
	return tongma.Answer{Payment: r.Payment, Outcome: tongma.Approved, Exchange: tongma.Exchange{Quote: id, Rate: q.text, Source: q.source,
		Expiry: q.now().Add(q.life).UnixMilli()}}, nil
}

func newBourse(t *testing.T) *bourse {
	d, err := schemes.Parse(1, []byte(bourseMarket))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range d.Schemes() {
		s.AuthoriseTimeout, s.InquireEvery, s.ReverseEvery, s.ConfirmWithin = 100*time.Millisecond, 10*time.Millisecond, 10*time.Millisecond, 5*time.Second
	}
	s := &bourse{bench: emptyBench(t), byKey: map[string]tongma.PaymentID{}, asker: map[string]tongma.ParticipantID{}, quotes: map[string]string{}, opened: d}
	s.fxC.now, s.fxC.life = s.now, 30*time.Second
	s.start()
	t.Cleanup(func() { s.engine.Close() })
	return s
}

func (s *bourse) now() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }

// begin is how its dealers are asked.
func (s *bourse) begin(id tongma.ParticipantID) (Dealer, func()) {
	s.begun = append(s.begun, "ask "+string(id))
	stop := func() { s.begun = append(s.begun, "leave "+string(id)) }
	if id == "fx-c" {
		return &s.fxC, stop
	}
	if q := s.newcomers[id]; q != nil {
		return q, stop
	}
	return nil, nil
}

func (s *bourse) start() {
	s.t.Helper()
	var err error
	s.registry = schemes.NewMemoryRegistry(s.opened)
	s.engine, err = Open(context.Background(), Options{Store: s.store, Registry: s.registry, Outbox: s.events,
		Adapters: map[tongma.SchemeID]Adapter{"wechat": s.scheme, "north": s.scheme}, Dealer: s.begin,
		DoubtFor: 5 * time.Second, QuoteWithin: 20 * time.Millisecond, Now: s.now,
		NewID: func() (id tongma.PaymentID) {
			n := s.ids.Add(1)
			id[6], id[8], id[14], id[15] = 0x70, 0x80, byte(n>>8), byte(n)
			return id
		},
		Digest: func(code string) [16]byte { var d [16]byte; copy(d[:], code[max(0, len(code)-16):]); return d }})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *bourse) render(text string) string {
	var out strings.Builder
	for _, line := range strings.SplitAfter(text, "\n") {
		body, comment, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "#")
		cmd, _, _ := strings.Cut(body, "->")
		if cmd = strings.TrimRight(cmd, " "); strings.TrimSpace(cmd) == "" {
			out.WriteString(line)
			continue
		}
		if strings.HasPrefix(cmd, " ") {
			continue // it belongs to an answer
		}
		said, more, _ := strings.Cut(s.run(strings.Fields(cmd)), "\n")
		fmt.Fprintf(&out, "%-44s -> %s", cmd, said)
		if comment != "" {
			out.WriteString(" #" + comment)
		}
		out.WriteByte('\n')
		for l := range strings.Lines(more) {
			out.WriteString("    " + strings.TrimSuffix(l, "\n") + "\n")
		}
	}
	return out.String()
}

// after returns the word behind another one, or "".
func after(words []string, word string) string {
	for i := range len(words) - 1 {
		if words[i] == word {
			return words[i+1]
		}
	}
	return ""
}

func (s *bourse) money(amount, code string) tongma.Money {
	c, _ := tongma.CurrencyByCode(code)
	m, err := tongma.ParseMoney(amount, c)
	if err != nil {
		s.t.Fatalf("%s %s: %v", amount, code, err)
	}
	return m
}

func (s *bourse) shopCode(c tongma.Currency, shop string) string {
	account, err := codespec.UnifiedAccount{Acquirer: "2001", Merchant: cmp.Or(shop, "SHOP0001"), Till: "01"}.Account()
	if err != nil {
		s.t.Fatal(err)
	}
	m, err := emv.Draft{Accounts: []emv.Account{account}, MCC: "5812", Currency: c.Number(), Country: "CN", Name: "NOODLES", City: "X"}.Build()
	if err != nil {
		s.t.Fatal(err)
	}
	code, err := m.Encode()
	if err != nil {
		s.t.Fatal(err)
	}
	return code
}

// shopsCurrency is the one that a line names behind "shop", or the amount's own.
func (s *bourse) shopsCurrency(w []string, m tongma.Money) tongma.Currency {
	c, ok := tongma.CurrencyByCode(after(w, "shop"))
	if !ok {
		return m.Currency
	}
	return c
}

// run does one line.
func (s *bourse) run(w []string) string {
	switch w[0] {
	case "pay", "transfer", "refund":
		return s.pay(w)
	case "resolve":
		m := s.money(w[1], w[2])
		payIn, _ := tongma.CurrencyByCode(after(w, "in"))
		r, err := s.engine.Resolve(context.Background(), tongma.Request{From: "wallet", Code: s.shopCode(s.shopsCurrency(w, m), after(w, "at")), Amount: m, PayIn: payIn, Budget: time.Second})
		switch {
		case err != nil:
			return tongma.ReasonOf(err).String()
		case r.Reason != tongma.NoReason:
			return r.Reason.String()
		case r.Exchange == tongma.Exchange{}:
			return "in its own currency"
		}
		s.quotes[after(w, "as")] = r.Exchange.Quote
		left := time.UnixMilli(r.Exchange.Expiry).Sub(s.now()).Round(time.Second)
		return fmt.Sprintf("%s for %s, quote %s holds %s", r.Exchange.Source, r.Exchange.Target, after(w, "as"), left)
	case "reverse":
		a, err := s.engine.Do(context.Background(), tongma.Request{Op: tongma.OpReverse, From: s.asker[w[1]], OfKey: w[1], Budget: time.Second})
		return s.said(a, err)
	case "ends":
		for n := 0; ; n++ {
			a, err := s.engine.Do(context.Background(), tongma.Request{Op: tongma.OpInquire, From: s.asker[w[1]], Original: s.byKey[w[1]], Budget: time.Second})
			if a.Status.Final() || n > 500 {
				return s.said(a, err)
			}
			time.Sleep(5 * time.Millisecond)
		}
	case "inquire":
		a, err := s.engine.Do(context.Background(), tongma.Request{Op: tongma.OpInquire, From: tongma.ParticipantID(after(w, "by")), Original: s.byKey[w[1]], Budget: time.Second})
		return s.said(a, err)
	case "dealer":
		s.fxC.text, s.fxC.id, s.fxC.source, s.fxC.life = "", after(w, "id"), tongma.Money{}, 30*time.Second
		if w[2] != "silent" {
			s.fxC.text = strings.Join(w[2:5], " ")
		}
		if life, err := time.ParseDuration(after(w, "for")); err == nil {
			s.fxC.life = life
		}
		if amount := after(w, "source"); amount != "" && len(w) > 6 {
			s.fxC.source = s.money(w[len(w)-2], w[len(w)-1])
		}
		return "done"
	case "wallet":
		s.tellWallet(w[1])
		return "done"
	case "asked":
		s.scheme.mu.Lock()
		defer s.scheme.mu.Unlock()
		r := s.scheme.asked[len(s.scheme.asked)-1]
		return fmt.Sprintf("%s %s; %s beside %s", r.Op, r.Amount, r.Exchange.Source, r.Exchange.Target)
	case "position":
		return s.position(w[1], w[2])
	case "cap":
		_, err := s.engine.Ledger().Submit(context.Background(), clearing.Entry{Kind: clearing.KindCap, Debtor: tongma.ParticipantID(w[1]), Amount: s.money(w[2], w[3])})
		return map[bool]string{true: "done"}[err == nil]
	case "wait":
		d, err := time.ParseDuration(w[1])
		if err != nil {
			s.t.Fatal(err)
		}
		s.ahead.Add(int64(d))
		return "done"
	case "restart":
		if err := s.engine.Close(); err != nil {
			s.t.Fatal(err)
		}
		s.scheme.said[tongma.OpInquire] = nil
		s.start()
		return "done"
	case "sheet":
		return s.sheet()
	}
	s.t.Fatalf("%s is no command", w[0])
	return ""
}

func (s *bourse) tellWallet(what string) {
	ops := []tongma.Operation{tongma.OpAuthorise, tongma.OpAccept, tongma.OpRefund}
	for _, op := range ops {
		s.scheme.said[op] = nil
	}
	told := map[string]reply{"declines": noFunds, "vanishes": vanish, "confirms": waiting}[what]
	if what == "vanishes-and-waits" { // debited, and silent until the next start
		told = vanish
		for range 100 {
			s.scheme.say(tongma.OpInquire, silent)
		}
	}
	for _, op := range ops {
		s.scheme.say(op, told)
	}
}

func (s *bourse) pay(w []string) string {
	i := 2
	r := tongma.Request{From: "shop", Key: w[1], Budget: 300 * time.Millisecond, Merchant: tongma.Merchant{ID: "M1"}, Quote: s.quotes[after(w, "quote")]}
	if q := after(w, "quote"); q != "" && r.Quote == "" {
		r.Quote = q
	}
	r.Op, _ = tongma.ParseOperation(w[0])
	if r.Op == tongma.OpRefund {
		r.Original = s.byKey[after(w, "of")]
		i = 4
	}
	r.Amount = s.money(w[i], w[i+1])
	r.PayIn, _ = tongma.CurrencyByCode(after(w, "in"))
	switch r.Op {
	case tongma.OpPay:
		n, err := strconv.Atoi(after(w, "code"))
		if err != nil {
			s.codes++
			n = s.codes
		}
		r.Code = fmt.Sprintf("13%016d", n)
	case tongma.OpTransfer:
		r.From, r.Code = "wallet", s.shopCode(s.shopsCurrency(w, r.Amount), after(w, "at"))
	}
	a, err := s.engine.Do(context.Background(), r)
	if _, known := s.byKey[r.Key]; !known && !a.Payment.IsZero() {
		s.byKey[r.Key], s.asker[r.Key] = a.Payment, r.From
	}
	return s.said(a, err)
}

// said is an answer in words.
func (s *bourse) said(a tongma.Answer, err error) string {
	if err != nil {
		return tongma.ReasonOf(err).String()
	}
	text := a.Status.String()
	if a.Reason != tongma.NoReason {
		text += " " + a.Reason.String()
	}
	if x := a.Exchange; a.Status == tongma.Paid || x != (tongma.Exchange{}) {
		text += " " + a.Amount.String()
		if x != (tongma.Exchange{}) {
			text += fmt.Sprintf(", %s for %s", x.Source, x.Target)
			if x.Rate != "" {
				text += fmt.Sprintf(" by %s at %s", x.Dealer, x.Rate)
			}
		}
	}
	if a.Replayed {
		text += ", said before"
	}
	return text
}

func (s *bourse) position(who, code string) string {
	c, _ := tongma.CurrencyByCode(code)
	said := "none"
	err := s.engine.Ledger().Read(context.Background(), func(b *clearing.Book) {
		for _, at := range b.Positions() {
			if string(at.Participant) == who && at.Currency == c {
				said = fmt.Sprintf("%s held %s", dec(at.Position, c), dec(at.Reserved, c))
			}
		}
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return said
}

// sheet is the net sheet of the default model's window.
func (s *bourse) sheet() string {
	var out strings.Builder
	err := s.engine.Ledger().Read(context.Background(), func(b *clearing.Book) {
		sheet, _ := b.Sheet(1)
		out.WriteString(sheet.State.String())
		for _, n := range sheet.Nets {
			fmt.Fprintf(&out, "\n%s %s %s", n.Currency.Code(), n.Participant, dec(n.Net, n.Currency))
		}
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return out.String()
}

// TestADealerThatIsAskedMayNotBendTheArithmetic: what a dealer says is held against
// the rate, the currencies and the fixed side; what does not fit is no quote.
func TestADealerThatIsAskedMayNotBendTheArithmetic(t *testing.T) {
	s := newBourse(t)
	d := s.opened
	p, _ := d.Participant("fx-c")
	pair, _ := p.Dealer.Pair(tongma.HKD, tongma.THB)
	target := s.money("500.00", "THB")
	soon := s.now().Add(10 * time.Second).UnixMilli()
	good := tongma.Exchange{Quote: "q", Rate: "HKD/THB 4.2 target", Expiry: soon}
	for name, spoil := range map[string]func(*tongma.Exchange){
		"no id":            func(x *tongma.Exchange) { x.Quote = "" },
		"an id of spaces":  func(x *tongma.Exchange) { x.Quote = "a b" },
		"a long id":        func(x *tongma.Exchange) { x.Quote = strings.Repeat("q", 65) },
		"no rate":          func(x *tongma.Exchange) { x.Rate = "" },
		"other currencies": func(x *tongma.Exchange) { x.Rate = "USD/THB 4.2 target" },
		"the source fixed": func(x *tongma.Exchange) { x.Rate = "HKD/THB 4.2 source" },
		"a tiny rate":      func(x *tongma.Exchange) { x.Rate = "HKD/THB 0.000000000001 target" },
		"another source":   func(x *tongma.Exchange) { x.Source = s.money("119.04", "HKD") },
	} {
		x := good
		spoil(&x)
		if o := s.engine.offered(p, pair, exchange.Target, target, x); o.Dealer != "" {
			t.Errorf("%s: taken as %+v", name, o)
		}
	}
	gives := s.money("100.00", "HKD")
	for name, spoil := range map[string]func(*tongma.Exchange){
		"the target fixed": func(x *tongma.Exchange) { x.Rate = "HKD/THB 4.2 target" },
		"another target":   func(x *tongma.Exchange) { x.Target = s.money("419.99", "THB") },
	} {
		x := tongma.Exchange{Quote: "q", Rate: "HKD/THB 4.2 source", Target: tongma.Money{Currency: tongma.THB}, Expiry: soon}
		if o := s.engine.offered(p, pair, exchange.Source, gives, x); o.Target != s.money("420.00", "THB") || o.Source != gives {
			t.Fatalf("%+v", o)
		}
		spoil(&x)
		if o := s.engine.offered(p, pair, exchange.Source, gives, x); o.Dealer != "" {
			t.Errorf("%s: taken as %+v", name, o)
		}
	}
	o := s.engine.offered(p, pair, exchange.Target, target, good)
	if o.Source != s.money("119.05", "HKD") || o.Dealer != "fx-c" || o.Expiry != soon {
		t.Fatalf("%+v", o)
	}
	good.Expiry = s.now().Add(time.Hour).UnixMilli()
	if o = s.engine.offered(p, pair, exchange.Target, target, good); o.Expiry > s.now().Add(30*time.Second).UnixMilli() {
		t.Error("a quote holds longer than the directory lets the dealer's hold")
	}
	if terms, err := exchange.ParseTerms(o.Rate); err != nil || terms.Check(o.Source, o.Target) != nil {
		t.Error("the books would not take it")
	}
}

// TestOffersAreBoundedAndTheirOwners: no wallet fills the memory, or pushes out
// another's quotes, or uses them.
func TestOffersAreBoundedAndTheirOwners(t *testing.T) {
	var s offers
	one := offer{Exchange: tongma.Exchange{Quote: "mine", Target: tongma.Money{Minor: 1, Currency: tongma.THB}, Source: tongma.Money{Minor: 1, Currency: tongma.HKD}, Expiry: 9},
		fixed: exchange.Target, asker: "a", payee: payee{"shop", "north", "M1"}}
	s.keep(one)
	for i := range 2 * mostOffers {
		s.keep(offer{Exchange: tongma.Exchange{Quote: strconv.Itoa(i)}, asker: "b"})
	}
	if n := len(s.byAsker["b"].byQuote); n != mostOffers || len(s.byAsker["b"].order) != mostOffers {
		t.Fatalf("%d kept", n)
	}
	r := tongma.Request{From: "b", Quote: "mine", Amount: one.Target}
	x := crossing{payIn: []tongma.Currency{tongma.HKD}, payee: one.payee, fixed: exchange.Target}
	if _, reason := s.named(&r, &x, 0); reason != tongma.QuoteUnknown {
		t.Error(reason)
	}
	r.From = "a"
	if got, reason := s.named(&r, &x, 9); reason != tongma.NoReason || got != one {
		t.Error(reason)
	}
	if _, reason := s.named(&r, &x, 10); reason != tongma.QuoteExpired {
		t.Error(reason)
	}
	for what, spoil := range map[string]func(*crossing, *tongma.Request){
		"currency": func(x *crossing, _ *tongma.Request) { x.payIn = []tongma.Currency{tongma.USD} },
		"acquirer": func(x *crossing, _ *tongma.Request) { x.payee.acquirer = "south" },
		"scheme":   func(x *crossing, _ *tongma.Request) { x.payee.scheme = "south" },
		"merchant": func(x *crossing, _ *tongma.Request) { x.payee.merchant = "M2" },
		"amount":   func(_ *crossing, r *tongma.Request) { r.Amount.Minor++ },
		"side":     func(x *crossing, r *tongma.Request) { x.fixed, r.Amount = exchange.Source, one.Source },
	} {
		another, r := x, r
		spoil(&another, &r)
		if _, reason := s.named(&r, &another, 9); reason != tongma.QuoteMismatch {
			t.Errorf("another %s: %v", what, reason)
		}
	}
}

// TestQuotesAreTheSwitchsToTell: nobody slips amounts or quotes in by a door.
func TestQuotesAreTheSwitchsToTell(t *testing.T) {
	s := newBourse(t)
	for _, c := range []struct {
		r     tongma.Request
		field string
	}{
		{tongma.Request{Op: tongma.OpPay, Quote: "q"}, "/quote"},
		{tongma.Request{Op: tongma.OpPay, PayIn: tongma.HKD}, "/pay_in"},
		{tongma.Request{Op: tongma.OpRefund, Quote: "q"}, "/quote"},
		{tongma.Request{Op: tongma.OpTransfer, Exchange: tongma.Exchange{Dealer: "fx-a"}}, "/exchange"},
	} {
		c.r.From, c.r.Key, c.r.Code, c.r.Amount = "shop", "k", "130000000000000001", s.money("1.00", "THB")
		_, err := s.engine.Do(t.Context(), c.r)
		if e, ok := err.(*tongma.Error); !ok || e.Reason != tongma.FieldInvalid || e.Field != c.field {
			t.Errorf("%s: %v", c.field, err)
		}
	}
}

// TestADealerHearsOfWhatItsQuotesWereUsedFor: it is bound by the hold, and told of the
// posting and of the turning back, which nobody asks it about.
func TestADealerHearsOfWhatItsQuotesWereUsedFor(t *testing.T) {
	s := newBourse(t)
	s.run(strings.Fields("dealer fx-c HKD/THB 4.2 target"))
	s.run(strings.Fields("pay P1 100.00 THB"))
	for _, c := range []struct {
		entry clearing.Entry
		told  string
	}{
		{clearing.Entry{Kind: clearing.KindHold, Dealer: "fx-c"}, ""},
		{clearing.Entry{Kind: clearing.KindPost, Window: 1, Dealer: "fx-c"}, "fx-c exchange.done"},
		{clearing.Entry{Kind: clearing.KindPost, Window: 1, Dealer: "fx-c", Late: true}, "fx-c exchange.done, shop payment.ended"},
		{clearing.Entry{Kind: clearing.KindVoid, Dealer: "fx-c"}, ""},
		{clearing.Entry{Kind: clearing.KindReversed, Dealer: "fx-c"}, ""}, // nothing was posted
		{clearing.Entry{Kind: clearing.KindReversed, Window: 1, Dealer: "fx-c"}, "fx-c exchange.done"},
		{clearing.Entry{Kind: clearing.KindPost, Window: 1}, ""},
	} {
		c.entry.Payment = s.byKey["P1"]
		n, concerns := noticeOf(&c.entry)
		var told []string
		if concerns {
			data, err := (&EventOutbox{engine: s.engine}).dataFor(t.Context(), &n)
			if err != nil {
				t.Fatal(err)
			}
			for _, who := range slices.Sorted(maps.Keys(data)) {
				a, err := tongma.ParseAnswer(data[who])
				if err != nil || a.Exchange.Source != s.money("23.81", "HKD") || a.Exchange.Target != a.Amount || a.Exchange.Quote != "c-1" {
					t.Errorf("%s is told %s, %v", who, data[who], err)
				}
				told = append(told, strings.TrimPrefix(n.message(who, data[who], 0).Subject, "tm.v1.event."))
			}
		}
		if got := strings.ReplaceAll(strings.Join(told, ", "), "fx-c.", "fx-c "); strings.ReplaceAll(got, "shop.", "shop ") != c.told {
			t.Errorf("%s: told %q, want %q", c.entry.Kind, got, c.told)
		}
	}
}

// lateTracer lets time pass between the choice of a quote and its hold.
type lateTracer struct {
	noop.Tracer
	before func()
}

func (t lateTracer) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	t.before()
	return t.Tracer.Start(ctx, name, opts...)
}

// TestAQuoteBindsNobodyAfterItsEnd: what counts is when the books come to the hold,
// which behind a journal that stands still is later than when the quote was looked at.
func TestAQuoteBindsNobodyAfterItsEnd(t *testing.T) {
	for _, op := range []string{"pay P1 100.00 THB code 1", "transfer P1 100.00 THB quote Q1"} {
		s := newBourse(t)
		s.run(strings.Fields("dealer fx-c silent"))
		s.run(strings.Fields("resolve 100.00 THB as Q1"))
		wait := time.Duration(0)
		s.engine.opts.Tracer = lateTracer{before: func() { s.ahead.Add(int64(wait)); wait = 0 }}
		wait = 31 * time.Second
		if got := s.run(strings.Fields(op)); got != "declined quote-expired 100.00 THB" && got != "declined quote-expired" {
			t.Errorf("%s: %s", op, got)
		}
		for _, at := range []string{"wallet HKD", "fx-a THB", "fx-a HKD"} {
			if got := s.run(strings.Fields("position " + at)); !strings.Contains(got, "held 0.00") || strings.TrimLeft(got, "0.")[0] != ' ' {
				t.Errorf("%s: %s at %s", op, got, at)
			}
		}
		if got := s.run(strings.Fields("pay P2 100.00 THB code 1")); !strings.HasPrefix(got, "approved") {
			t.Errorf("its code is spent: %s", got)
		}
	}
}

// TestOneIDIsOneOffer: of two quotes of one id that are found at the same moment, one
// is shown.
func TestOneIDIsOneOffer(t *testing.T) {
	var s offers
	one := offer{Exchange: tongma.Exchange{Quote: "same", Rate: "HKD/THB 4.2 target"}, asker: "a"}
	two := one
	two.Rate = "HKD/THB 4.1 target"
	if !s.keep(one) || s.keep(two) {
		t.Error("both were kept")
	}
	if got, _ := s.find("a", "same"); got != one {
		t.Errorf("%+v", got)
	}
}

// TestADealerThatRepeatsItselfIsPassedOver: of payments that come at the same moment,
// one gets the repeated quote, and the others the next dealer's: none is refused for
// what nobody has seen.
func TestADealerThatRepeatsItselfIsPassedOver(t *testing.T) {
	s := newBourse(t)
	s.run(strings.Fields("dealer fx-c HKD/THB 9.0 target id same"))
	best, all := atomic.Int32{}, sync.WaitGroup{}
	for i := range 8 {
		all.Go(func() {
			r := tongma.Request{Op: tongma.OpPay, From: "shop", Key: fmt.Sprintf("P%d", i), Code: fmt.Sprintf("13%016d", i), Amount: s.money("10.00", "THB"), Budget: time.Second}
			a, err := s.engine.Do(context.Background(), r)
			if err != nil || a.Status != tongma.Paid {
				t.Errorf("%s: %v %v", r.Key, a.Reason, err)
			}
			if a.Exchange.Dealer == "fx-c" {
				best.Add(1)
			}
		})
	}
	all.Wait()
	if n := best.Load(); n != 1 {
		t.Errorf("one quote was used %d times", n)
	}
	if n := len(s.engine.offers.taken); n != 0 {
		t.Errorf("%d quotes stay taken", n)
	}
}

// TestAShownQuoteIsItsWalletsAlone: a payment at a till does not get it, should its
// dealer give it again; what is pushed out of the memory is nobody's.
func TestAShownQuoteIsItsWalletsAlone(t *testing.T) {
	s := newBourse(t)
	for _, line := range []string{"dealer fx-c HKD/THB 9.0 target id same", "resolve 100.00 THB as Q1", "pay P1 100.00 THB", "transfer T1 100.00 THB quote Q1"} {
		if got := s.run(strings.Fields(line)); strings.HasPrefix(line, "pay") && !strings.Contains(got, "by fx-a") || strings.HasPrefix(line, "transfer") && !strings.Contains(got, "by fx-c") {
			t.Errorf("%s: %s", line, got)
		}
	}
	var o offers
	for i := range 2 * mostOffers {
		q := offer{Exchange: tongma.Exchange{Dealer: "fx", Quote: strconv.Itoa(i)}, asker: "b"}
		if !o.take(&q) || o.take(&q) || !o.keep(q) {
			t.Fatal(i)
		}
	}
	if len(o.taken) != mostOffers {
		t.Errorf("%d stay taken", len(o.taken))
	}
}

// TestDealersComeAndGoWithTheDirectory, without a start: whoever comes is asked from
// when its version is in force, whoever leaves is not, nor who has test rates only.
func TestDealersComeAndGoWithTheDirectory(t *testing.T) {
	s := newBourse(t)
	s.newcomers = map[tongma.ParticipantID]*saidQuotes{"fx-d": {text: "HKD/THB 5.0 target", life: 30 * time.Second, now: s.now}}
	s.run(strings.Fields("dealer fx-c HKD/THB 4.5 target"))
	const newcomer = `  - {id: fx-d, name: Dealer D, country: CN, roles: [service], caps: {HKD: "1000.00", THB: "1000.00"},
     dealer: {quote_lifetime: 30s, pairs: [{from: HKD, to: THB, decimals: 4}]}}
`
	with := strings.Replace(bourseMarket, "schemes:\n", newcomer+"schemes:\n", 1)
	tested := strings.Replace(with, newcomer, strings.Replace(newcomer, "decimals: 4", `decimals: 4, test_rate: "6.0"`, 1), 1)
	for i, step := range []struct{ source, by, begun string }{
		{with, "by fx-d at HKD/THB 5.0 ", "ask fx-c, ask fx-d"},
		{with + "# the same again\n", "by fx-d at HKD/THB 5.0 ", "ask fx-c, ask fx-d"},
		{tested, "by fx-d at HKD/THB 6.0000 ", "ask fx-c, ask fx-d, leave fx-d"},
		{with, "by fx-d at HKD/THB 5.0 ", "ask fx-c, ask fx-d, leave fx-d, ask fx-d"},
		{bourseMarket, "by fx-c at HKD/THB 4.5 ", "ask fx-c, ask fx-d, leave fx-d, ask fx-d, leave fx-d"},
	} {
		d, err := s.registry.Add([]byte(step.source))
		if err != nil {
			t.Fatal(err)
		}
		for _, sc := range d.Schemes() {
			sc.AuthoriseTimeout = 100 * time.Millisecond
		}
		if err := s.engine.Adopt(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		if got := s.run(strings.Fields(fmt.Sprintf("pay P%d 10.00 THB", i))); !strings.Contains(got, step.by) {
			t.Errorf("version %d: %s", d.Version(), got)
		}
		if got := strings.Join(s.begun, ", "); got != step.begun {
			t.Errorf("version %d: %s", d.Version(), got)
		}
	}
	if err := s.engine.Close(); err != nil || s.begun[len(s.begun)-1] != "leave fx-c" {
		t.Errorf("%v, %v", s.begun, err)
	}
	s.engine.desks.follow(s.opened, s.begin)
	if s.engine.desks.of("fx-c") != nil {
		t.Error("asked behind the end")
	}
}

// TestFeesOfTwoCurrenciesAreThePayersAndOnlyBetweenAccounts: they are taken in what the
// payer pays, between those who have an account in it; else none is, and it is paid all
// the same.
func TestFeesOfTwoCurrenciesAreThePayersAndOnlyBetweenAccounts(t *testing.T) {
	s := newBourse(t)
	leg := func(from, to tongma.ParticipantID, c tongma.Currency) []clearing.Leg {
		return []clearing.Leg{{From: from, To: to, Amount: tongma.Money{Minor: 1, Currency: c}}}
	}
	for _, c := range []struct {
		legs []clearing.Leg
		want tongma.Reason
	}{
		{leg("shop", "wallet", tongma.HKD), tongma.NoReason},
		{leg("shop", "wallet", tongma.USD), tongma.NoAccount},
		{leg("wallet", "shop", tongma.USD), tongma.NoAccount},
		{leg("shop", "nobody", tongma.HKD), tongma.ParticipantUnknown},
		{nil, tongma.NoReason},
	} {
		if err := accountsFor(s.opened, c.legs); tongma.ReasonOf(err) != c.want {
			t.Errorf("%+v: %v, want %v", c.legs, err, c.want)
		}
	}
}

// TestWhoNamesALostQuoteIsToldWhatToDo: a quote does not outlive its switch. The payer's
// wallet hears that nothing moved, and that it has to show the code's amount again.
func TestWhoNamesALostQuoteIsToldWhatToDo(t *testing.T) {
	p := tongma.ProblemOf(&tongma.Error{Reason: tongma.QuoteUnknown})
	i := tongma.QuoteUnknown.Info()
	if p.Outcome != "not_executed" || p.Retry != tongma.RetryNewKey || i.Act != tongma.ActWallet || !strings.Contains(i.Advice, "Resolve the code again") {
		t.Errorf("%+v", i)
	}
}

// TestAPayerHearsItsLimitWhenItResolves, with the limit and what it would pay; and a quote
// that was shown before the limit was lowered is refused when it is used.
func TestAPayerHearsItsLimitWhenItResolves(t *testing.T) {
	s := newBourse(t)
	resolve := func(amount, currency string) tongma.Resolution {
		t.Helper()
		r, err := s.engine.Resolve(t.Context(), tongma.Request{From: "wallet", Code: s.shopCode(tongma.THB, ""), Amount: s.money(amount, currency), Budget: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, c := range [][2]string{{"900.00", "HKD"}, {"4000.00", "THB"}} {
		r := resolve(c[0], c[1])
		if r.Reason != tongma.OverSchemeLimit || len(r.Candidates) != 0 || r.Exchange != (tongma.Exchange{}) || !strings.Contains(r.Detail, "at most 800.00 HKD") {
			t.Errorf("%v: %+v", c, r)
		}
	}
	if n := len(s.engine.offers.taken); n != 0 {
		t.Errorf("%d quotes are kept that nobody was shown", n)
	}
	if got := s.run(strings.Fields("resolve 700.00 HKD shop THB as Q1")); !strings.Contains(got, "quote Q1") {
		t.Fatal(got)
	}
	lower, err := schemes.Parse(2, []byte(strings.Replace(bourseMarket, `max_payment: {HKD: "800.00"}`, `max_payment: {HKD: "600.00"}`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.engine.Adopt(t.Context(), lower); err != nil {
		t.Fatal(err)
	}
	if got := s.run(strings.Fields("transfer T1 700.00 HKD shop THB quote Q1")); got != "declined over-scheme-limit" {
		t.Error(got)
	}
}
