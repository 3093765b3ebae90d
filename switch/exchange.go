package switching

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/exchange"
	"github.com/tongma/tongma/codespec"
	"github.com/tongma/tongma/schemes"
)

// crossing is what a payment needs that its payer makes in another currency.
type crossing struct {
	scheme *schemes.Scheme   // by which the payer is reached
	payIn  []tongma.Currency // in which the payer may pay, best first
	gets   tongma.Currency   // in which the merchant is paid
	payee  payee             // of a merchant's code; zero for a payer's
	fixed  exchange.Side     // what the request's amount is: Target, or what the payer gives
}

// payee is whom a merchant's code pays, and by which scheme: a quote is for nobody else.
type payee struct {
	acquirer tongma.ParticipantID
	scheme   tongma.SchemeID
	merchant string // its whole number in the code; of a code without one, the code's digest
}

func (e *Engine) payeeOf(code codespec.Code, c schemes.Candidate) payee {
	who := payee{acquirer: c.Participant, scheme: c.Scheme}
	if code.MPM != nil {
		who.merchant = accountOf(code, c.Path)
	}
	if who.merchant == "" {
		digest := e.opts.Digest(code.Raw)
		who.merchant = string(digest[:])
	}
	return who
}

// crossing tells whether the payers of a scheme pay somebody who is paid in c in
// another currency.
func crossingOf(d *schemes.Directory, id tongma.SchemeID, c tongma.Currency) (crossing, bool) {
	s, _ := d.Scheme(id)
	x := crossing{scheme: s, payIn: d.PayIn(s, c), gets: c, fixed: exchange.Target}
	return x, len(x.payIn) > 0
}

// spending tells whether an amount is what a wallet's payer gives, rather than what the
// merchant gets: it is in a currency of the payer's, and the merchant's code names
// another one, and no amount.
func spending(d *schemes.Directory, id tongma.SchemeID, code codespec.Code, amount tongma.Money) (crossing, bool) {
	if code.MPM == nil || code.MPM.Amount() != "" || amount.Currency == 0 {
		return crossing{}, false
	}
	c, ok := tongma.CurrencyByNumber(code.MPM.Currency())
	if !ok || c == amount.Currency {
		return crossing{}, false
	}
	x, crosses := crossingOf(d, id, c)
	x.fixed = exchange.Source
	return x, crosses && x.only(amount.Currency)
}

// paid is what the merchant of r gets, as far as it is known: by the quote that r names
// if the payer's amount is fixed.
func (e *Engine) paid(r *tongma.Request, x *crossing) tongma.Money {
	if x.fixed != exchange.Source {
		return r.Amount
	}
	if o, ok := e.offers.find(r.From, r.Quote); ok && o.Target.Currency == x.gets {
		return o.Target
	}
	return tongma.Money{Currency: x.gets}
}

// only leaves the one currency that the wallet has named, if it has.
func (x *crossing) only(c tongma.Currency) bool {
	if c == 0 {
		return true
	}
	found := slices.Contains(x.payIn, c)
	x.payIn = []tongma.Currency{c}
	return found
}

// over tells whether the payer's scheme takes less than source in one payment, and how
// much that is.
func (x *crossing) over(source tongma.Money) (limit tongma.Money, over bool) {
	most, bounded := x.scheme.MaxPayment[source.Currency]
	return tongma.Money{Minor: most, Currency: source.Currency}, bounded && source.Minor > most
}

// exchangeFor makes hold one in two currencies: by a fresh quote, or for a wallet by
// the one that it has shown its payer. A repeat is left as it is asked: its first
// answer stands, whatever the rates are by now. A fresh quote is hold's alone until
// done is called, once the books have had hold or never will.
func (e *Engine) exchangeFor(ctx context.Context, d *schemes.Directory, x crossing, r *tongma.Request, hold *clearing.Entry) (done func(), reason tongma.Reason) {
	done = func() {}
	if !x.only(r.PayIn) {
		return done, tongma.CurrencyNotServed
	}
	if e.keyUsed(ctx, r) {
		return done, tongma.NoReason
	}
	var q offer
	if r.Op == tongma.OpTransfer {
		q, reason = e.offers.named(r, &x, e.opts.Now().UnixMilli())
	} else if q, reason = e.quote(ctx, d, x, r, hold); reason == tongma.NoReason {
		done = func() { e.offers.free(&q) }
	}
	if reason != tongma.NoReason {
		return done, reason
	}
	if _, over := x.over(q.Source); over { // the wallet heard it already, unless the limit is new
		return done, tongma.OverSchemeLimit
	}
	hold.Amount, hold.Target, hold.Dealer, hold.Quote, hold.Rate = q.Source, q.Target, q.Dealer, q.Quote, q.Rate
	hold.Until = q.Expiry // the books may come to it later, as behind a journal that stands still
	hold.Model = d.ExchangeModel(x.scheme.ID, q.Source.Currency, q.Target.Currency)
	return done, tongma.NoReason
}

// keyUsed tells whether the books know the asker's key. Unread books know nothing:
// the entry will tell.
func (e *Engine) keyUsed(ctx context.Context, r *tongma.Request) bool {
	var used bool // of a look that was given up it may be written later
	if err := e.ledger.Read(ctx, func(b *clearing.Book) { _, used = b.PaymentByKey(r.From, r.Key) }); err != nil {
		return false
	}
	return used
}

// quote asks the dealers, and takes the best for the payer: the least to pay, or the most
// for what it gives, then the dealer's id. The first currency in which there is a quote is taken. If there is none
// but such as are over before they could be used, or were used before, all are asked
// once more. The quote is the caller's alone until it frees it.
func (e *Engine) quote(ctx context.Context, d *schemes.Directory, x crossing, r *tongma.Request, hold *clearing.Entry) (offer, tongma.Reason) {
	asking, cancel := context.WithTimeout(ctx, e.quoteTime(ctx)) // one silent dealer uses it up
	defer cancel()
	late := false
	for range 2 {
		again := false
		for _, from := range x.payIn {
			for _, o := range e.askAll(asking, e.able(ctx, d, from, &x, r.Amount, hold), from, &x, r, hold) {
				switch {
				case x.fixed == exchange.Source && !e.canGive(ctx, o.Dealer, o.Target): // it was asked before that was known
				case e.opts.Now().UnixMilli() > o.Expiry:
					late, again = true, true
				case !e.takeFresh(ctx, &o):
					again = true
				default:
					return o, tongma.NoReason
				}
			}
		}
		if !again || asking.Err() != nil {
			break
		}
	}
	if late {
		return offer{}, tongma.QuoteExpired
	}
	return offer{}, tongma.NoQuote
}

// takeFresh takes a quote for one payment, or for one wallet to be shown. It does not
// if another has it at this moment, or the books know it as used: its dealer repeats
// itself, and nobody has seen it yet, so that another one does as well.
func (e *Engine) takeFresh(ctx context.Context, o *offer) bool {
	if !e.offers.take(o) {
		return false
	}
	var spent bool // of a look that was given up it may be written later
	err := e.ledger.Read(ctx, func(b *clearing.Book) { spent = b.QuoteUsed(o.Dealer, o.Quote) })
	if err == nil && !spent {
		return true
	}
	e.offers.free(o)
	if err == nil {
		e.opts.Logger.Warn("a quote that was used before", "dealer", string(o.Dealer))
	}
	return false
}

// quoteTime is how long all dealers together may take: a third of the asker's
// patience at most, since the scheme is asked behind them.
func (e *Engine) quoteTime(ctx context.Context) time.Duration {
	within := e.opts.QuoteWithin
	if deadline, ok := ctx.Deadline(); ok {
		within = min(within, (time.Until(deadline)-replyGrace)/3)
	}
	return within
}

// canGive tells whether a dealer has room for so much as the books stand.
func (e *Engine) canGive(ctx context.Context, dealer tongma.ParticipantID, target tongma.Money) bool {
	var can bool // of a look that was given up it may be written later
	err := e.ledger.Read(ctx, func(b *clearing.Book) { can = b.CanGive(dealer, target) })
	return err == nil && can
}

// able returns the dealers who could give what is asked for as the books stand: third
// parties, not suspended, and with room below their limits.
func (e *Engine) able(ctx context.Context, d *schemes.Directory, from tongma.Currency, x *crossing, amount tongma.Money, hold *clearing.Entry) []*schemes.Participant {
	target := amount
	if x.fixed == exchange.Source { // how much of it is the dealer's to say
		target = tongma.Money{Minor: 1, Currency: x.gets}
	}
	dealers := slices.DeleteFunc(d.Dealers(from, x.gets), func(p *schemes.Participant) bool {
		return p.Suspended || p.ID == hold.Debtor || p.ID == hold.Creditor
	})
	if len(dealers) == 0 {
		return nil
	}
	err := e.ledger.Read(ctx, func(b *clearing.Book) {
		dealers = slices.DeleteFunc(dealers, func(p *schemes.Participant) bool { return !b.CanGive(p.ID, target) })
	})
	if err != nil {
		return nil
	}
	return dealers
}

// offer is a quote that was checked, who may use it, and whom it pays.
type offer struct {
	tongma.Exchange
	fixed exchange.Side
	asker tongma.ParticipantID
	payee payee
}

// asked is the amount that a wallet has named for it.
func (o *offer) asked() tongma.Money {
	if o.fixed == exchange.Source {
		return o.Source
	}
	return o.Target
}

// askAll asks dealers at once, and returns what they offer, best first.
func (e *Engine) askAll(ctx context.Context, dealers []*schemes.Participant, from tongma.Currency, x *crossing, r *tongma.Request, hold *clearing.Entry) []offer {
	found := make([]offer, len(dealers))
	var asked sync.WaitGroup
	for i, p := range dealers {
		pair, _ := p.Dealer.Pair(from, x.gets)
		if pair.TestRate != "" {
			found[i] = e.testQuote(p, pair, x.fixed, r.Amount)
			continue
		}
		if dealer := e.desks.of(p.ID); dealer != nil {
			asked.Go(func() { found[i] = e.askDealer(ctx, dealer, p, pair, x.fixed, r.Amount, hold) })
		}
	}
	asked.Wait()
	found = slices.DeleteFunc(found, func(o offer) bool { return o.Dealer == "" || e.offers.has(r.From, o.Quote) })
	slices.SortFunc(found, func(a, b offer) int {
		return cmp.Or(cmp.Compare(a.Source.Minor, b.Source.Minor), cmp.Compare(b.Target.Minor, a.Target.Minor), cmp.Compare(a.Dealer, b.Dealer))
	})
	return found
}

// testQuote is the directory's own quote, by a rate for trying things out.
func (e *Engine) testQuote(p *schemes.Participant, pair *schemes.Pair, side exchange.Side, amount tongma.Money) offer {
	rate, err := exchange.Quoted(pair.From, pair.To, pair.TestRate, pair.MarginBasisPoints, pair.Decimals)
	if err != nil {
		e.opts.Logger.Error("test rate", "dealer", string(p.ID), "err", err)
		return offer{}
	}
	id := strings.TrimPrefix(e.opts.NewID().String(), "pay_")
	return e.offered(p, pair, side, amount, tongma.Exchange{Quote: "test-" + id, Rate: exchange.Terms{Rate: rate, Fixed: side}.String(),
		Expiry: e.opts.Now().Add(p.Dealer.QuoteLifetime).UnixMilli()})
}

// askDealer asks one dealer for one quote.
func (e *Engine) askDealer(ctx context.Context, dealer Dealer, p *schemes.Participant, pair *schemes.Pair, side exchange.Side, amount tongma.Money, hold *clearing.Entry) offer {
	start := e.opts.Now()
	q := tongma.Request{Op: tongma.OpQuote, Key: hold.Payment.String(), Payment: hold.Payment, Amount: amount, PayIn: pair.From,
		Acquirer: hold.Creditor, Issuer: hold.Debtor, Attempt: 1}
	if side == exchange.Source {
		q.Exchange = tongma.Exchange{Source: amount, Target: tongma.Money{Currency: pair.To}}
	}
	a, err := dealer.Quote(ctx, q)
	event := classify(tongma.OpQuote, &a, err)
	e.opts.Metrics.leg(tongma.SchemeID(p.ID), tongma.OpQuote, event, e.opts.Now().Sub(start))
	if event != Yes {
		return offer{}
	}
	return e.offered(p, pair, side, amount, a.Exchange)
}

// offered holds a quote against what was asked for, and computes what the payer pays, or
// what the merchant gets. What a dealer says of that has to be the same. A quote that is
// none is passed over.
func (e *Engine) offered(p *schemes.Participant, pair *schemes.Pair, side exchange.Side, amount tongma.Money, x tongma.Exchange) offer {
	terms, err := exchange.ParseTerms(x.Rate)
	q := exchange.Quote{ID: x.Quote, Dealer: p.ID, Source: pair.From, Target: pair.To, Rate: terms.Rate, Fixed: terms.Fixed,
		Expiry: min(x.Expiry, e.opts.Now().Add(p.Dealer.QuoteLifetime).UnixMilli())}
	if err == nil {
		err = q.Usable(0) // what is over is sorted out later
	}
	var c exchange.Conversion
	if err == nil {
		c, err = exchange.Convert(amount, q, side)
	}
	said := x.Source == tongma.Money{} || x.Source == c.Source
	if side == exchange.Source {
		said = x.Target.Minor == 0 || x.Target == c.Target
	}
	if err != nil || !said || !printable(x.Quote) {
		e.opts.Logger.Warn("a quote that is none", "dealer", string(p.ID), "err", err)
		return offer{}
	}
	return offer{Exchange: tongma.Exchange{Dealer: p.ID, Quote: q.ID, Rate: x.Rate, Source: c.Source, Target: c.Target, Expiry: q.Expiry}, fixed: side}
}

// printable tells whether an id is one that can be named in a request.
func printable(id string) bool { return (&tongma.Request{Quote: id}).Check() == nil }

// mostOffers is how many quotes are kept for one wallet.
const mostOffers = 4096

// offers are the quotes that wallets were shown and may name until they are over. They
// are not in the journal: a quote moves no money, and one that was lost with a switch
// is asked for again.
type offers struct {
	mu      sync.Mutex // guards all below; nothing else is taken while it is held
	byAsker map[tongma.ParticipantID]*kept
	taken   map[quoteName]struct{} // on their way into the books, or kept for a wallet
}

// quoteName is a quote's name among those of all dealers.
type quoteName struct {
	dealer tongma.ParticipantID
	quote  string
}

// take makes a fresh quote the caller's alone, unless somebody has it.
func (s *offers) take(o *offer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := quoteName{o.Dealer, o.Quote}
	if _, taken := s.taken[name]; taken {
		return false
	}
	if s.taken == nil {
		s.taken = map[quoteName]struct{}{}
	}
	s.taken[name] = struct{}{}
	return true
}

// free ends what take began.
func (s *offers) free(o *offer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.taken, quoteName{o.Dealer, o.Quote})
}

// kept are one wallet's offers, oldest first.
type kept struct {
	byQuote map[string]offer
	order   []string
}

// keep keeps a quote for the wallet that it is shown to, in place of the oldest one if
// there are too many. It does not if the wallet was shown one of the same id.
func (s *offers) keep(o offer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.byAsker[o.asker]
	if k == nil {
		if s.byAsker == nil {
			s.byAsker = map[tongma.ParticipantID]*kept{}
		}
		k = &kept{byQuote: map[string]offer{}}
		s.byAsker[o.asker] = k
	}
	if _, shown := k.byQuote[o.Quote]; shown {
		return false
	}
	if len(k.order) >= mostOffers {
		oldest := k.byQuote[k.order[0]]
		delete(s.taken, quoteName{oldest.Dealer, oldest.Quote})
		delete(k.byQuote, k.order[0])
		k.order = k.order[1:]
	}
	k.byQuote[o.Quote] = o
	k.order = append(k.order, o.Quote)
	return true
}

func (s *offers) find(asker tongma.ParticipantID, quote string) (offer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.byAsker[asker]
	if k == nil {
		return offer{}, false
	}
	o, ok := k.byQuote[quote]
	return o, ok
}

// has tells whether a wallet was shown a quote of this id. Another one of the same id
// is not offered to it: it would not be known which of both its payer has seen.
func (s *offers) has(asker tongma.ParticipantID, quote string) bool {
	_, found := s.find(asker, quote)
	return found
}

// named returns the quote that a wallet names for a payment. The reasons, in their
// order: QuoteUnknown (none was named, or it was not shown to this wallet by this
// switch), QuoteMismatch (it is for another amount or shop, by another scheme, or in
// another currency than the payer pays in), QuoteExpired.
func (s *offers) named(r *tongma.Request, x *crossing, now int64) (offer, tongma.Reason) {
	o, ok := s.find(r.From, r.Quote)
	switch {
	case !ok || r.Quote == "":
		return offer{}, tongma.QuoteUnknown
	case o.fixed != x.fixed || o.asked() != r.Amount || o.payee != x.payee || !slices.Contains(x.payIn, o.Source.Currency):
		return offer{}, tongma.QuoteMismatch
	case now > o.Expiry:
		return offer{}, tongma.QuoteExpired
	}
	return o, tongma.NoReason
}

// offer completes a resolution for a wallet whose payer pays in another currency: with
// a quote, or with why there is none. Of several shards the wallet's home says it. An
// error means that its home cannot be asked.
func (e *Engine) offer(ctx context.Context, d *schemes.Directory, code codespec.Code, r *tongma.Request, out *tongma.Resolution) error {
	asked := out.Amount
	if asked == (tongma.Money{}) {
		asked = r.Amount
	}
	if asked.Currency == 0 && code.MPM != nil {
		asked.Currency, _ = tongma.CurrencyByNumber(code.MPM.Currency())
	}
	x, crosses := spending(d, e.schemeOf(r.From), code, asked)
	if !crosses {
		x, crosses = crossingOf(d, e.schemeOf(r.From), asked.Currency)
	}
	if !crosses || len(out.Candidates) == 0 {
		return nil
	}
	if asked.Payable() != nil {
		out.Detail = "the payer pays in another currency: resolve again with the amount"
		return nil
	}
	if e.opts.Shards != nil {
		there, elsewhere, err := e.opts.Shards.Resolve(ctx, *r)
		if err != nil {
			return err
		}
		if elsewhere {
			*out = there
			return nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(r.Budget, e.opts.Budget))
	defer cancel()
	r.Amount, r.Op = asked, tongma.OpTransfer
	var reason tongma.Reason
	out.Exchange, reason = e.show(ctx, d, code, x, r)
	if reason != tongma.NoReason {
		out.Candidates, out.Reason, out.Detail = nil, reason, "the payer pays in another currency than the merchant is paid in"
	}
	if limit, over := x.over(out.Exchange.Source); reason == tongma.OverSchemeLimit && over {
		out.Detail = "the payer would pay " + out.Exchange.Source.String() + ", and " + string(x.scheme.ID) + " takes at most " + limit.String() + " in one payment"
		out.Exchange = tongma.Exchange{} // nobody keeps it
	}
	return nil
}

// show gets a quote, and keeps it for the wallet that it is shown to. Who is paid is
// found as the transfer will find it. Of OverSchemeLimit the source says what the payer
// would pay.
func (e *Engine) show(ctx context.Context, d *schemes.Directory, code codespec.Code, x crossing, r *tongma.Request) (tongma.Exchange, tongma.Reason) {
	gets := *r
	gets.Amount = e.paid(r, &x)
	chosen, reason := e.choose(ctx, d, code, &gets)
	switch {
	case reason != tongma.NoReason:
		return tongma.Exchange{}, reason
	case !x.only(r.PayIn):
		return tongma.Exchange{}, tongma.CurrencyNotServed
	}
	if x.fixed == exchange.Source { // no dealer needs to be asked
		if _, over := x.over(r.Amount); over {
			return tongma.Exchange{Source: r.Amount}, tongma.OverSchemeLimit
		}
	}
	x.payee = e.payeeOf(code, chosen)
	hold := clearing.Entry{Payment: e.opts.NewID(), Debtor: r.From, Creditor: x.payee.acquirer}
	q, reason := e.quote(ctx, d, x, r, &hold)
	if reason != tongma.NoReason {
		return tongma.Exchange{}, reason
	}
	if _, over := x.over(q.Source); over {
		e.offers.free(&q)
		return tongma.Exchange{Source: q.Source}, tongma.OverSchemeLimit
	}
	if gets.Amount = q.Target; x.fixed == exchange.Source { // and may the merchant get so much?
		if again, reason := e.choose(ctx, d, code, &gets); reason != tongma.NoReason || e.payeeOf(code, again) != x.payee {
			e.offers.free(&q)
			return tongma.Exchange{}, cmp.Or(reason, tongma.NoQuote)
		}
	}
	q.asker, q.payee = r.From, x.payee
	if !e.offers.keep(q) { // and it stays the wallet's alone
		e.offers.free(&q)
		return tongma.Exchange{}, tongma.NoQuote // another resolution has just shown one of its id
	}
	return q.Exchange, tongma.NoReason
}

// exchangeOf is how a payment in two currencies is told to those who take part in it.
func exchangeOf(p *clearing.Payment) tongma.Exchange {
	switch {
	case p.Dealer == "":
		return tongma.Exchange{}
	case p.Op == tongma.OpRefund:
		return tongma.Exchange{Dealer: p.Dealer, Source: p.Target, Target: p.Amount}
	}
	return tongma.Exchange{Dealer: p.Dealer, Quote: p.Quote, Rate: p.Rate, Source: p.Amount, Target: p.Target}
}

// tell makes the scheme hear the amount of its own side, and both beside it. Payers
// are asked for the source, and get it back; merchants get the target.
func (c *course) tell(p *clearing.Payment) {
	c.debit, c.request.Amount, c.request.Exchange = p.Amount, p.Amount, exchangeOf(p)
	if p.Dealer != "" && c.op != tongma.OpPay {
		c.request.Amount = p.Target
	}
}
