package switching

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/codespec"
	"github.com/tongma/tongma/schemes"
)

// pay is "the shop scans the payer": the payer's one-time code decides the
// scheme, whose participant pays the acquirer.
func (e *Engine) pay(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	d := e.Directory()
	code, chosen, refusal := e.resolvePayer(ctx, d, &r)
	draft := e.newHold(&r)
	hold := &draft.Entry
	hold.Creditor = r.From
	hold.Code, hold.CodeTail = clearing.Digest(e.opts.Digest(code.Raw)), tail(code.Raw)
	if refusal == tongma.NoReason {
		refusal = e.tooLate(ctx, chosen)
	}
	if refusal != tongma.NoReason {
		return e.refuse(ctx, &r, *hold, refusal)
	}
	if a, elsewhere, err := e.place(ctx, &r, chosen.Participant); elsewhere {
		return a, err
	}
	hold.Debtor, hold.Scheme = chosen.Participant, chosen.Scheme
	hold.Model = d.Model(hold.Scheme, hold.Amount.Currency)
	if x, crosses := crossingOf(d, chosen.Scheme, r.Amount.Currency); crosses {
		done, refusal := e.exchangeFor(ctx, d, x, &r, hold)
		defer done()
		if refusal != tongma.NoReason {
			return e.refuse(ctx, &r, *hold, refusal)
		}
	}
	r.Acquirer, r.Issuer, r.Scheme = r.From, chosen.Participant, chosen.Scheme
	return e.run(ctx, &r, draft)
}

// transfer is "the payer scans the shop": the merchant's code decides who is
// paid; the asking wallet's participant pays.
func (e *Engine) transfer(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	d := e.Directory()
	code, err := d.Decode(r.Code)
	draft := e.newHold(&r)
	hold := &draft.Entry
	hold.Debtor = r.From
	if err != nil {
		return e.refuse(ctx, &r, *hold, codeReason(err))
	}
	x, crosses := spending(d, e.schemeOf(r.From), code, r.Amount)
	if !crosses {
		x, crosses = crossingOf(d, e.schemeOf(r.From), r.Amount.Currency)
	}
	gets := r
	gets.Amount = e.paid(&r, &x)
	chosen, refusal := e.choose(ctx, d, code, &gets)
	if refusal == tongma.NoReason {
		refusal = fixedAmount(code, gets.Amount)
	}
	if refusal == tongma.NoReason {
		refusal = e.tooLate(ctx, chosen)
	}
	if refusal != tongma.NoReason {
		return e.refuse(ctx, &r, *hold, refusal)
	}
	hold.Creditor, hold.Scheme = chosen.Participant, chosen.Scheme
	hold.Model = d.Model(hold.Scheme, hold.Amount.Currency)
	switch {
	case crosses:
		x.payee = e.payeeOf(code, chosen)
		_, refusal = e.exchangeFor(ctx, d, x, &r, hold)
	case r.Quote != "" || (r.PayIn != 0 && r.PayIn != r.Amount.Currency):
		refusal = tongma.QuoteMismatch // it pays in the merchant's own currency
	}
	if refusal != tongma.NoReason {
		return e.refuse(ctx, &r, *hold, refusal)
	}
	r.Acquirer, r.Issuer, r.Scheme = chosen.Participant, r.From, chosen.Scheme
	r.Merchant = printed(merchantOf(code, chosen.Path), r.Merchant)
	hold.Merchant = cut(r.Merchant.ID, 35)
	return e.run(ctx, &r, draft)
}

// Resolve says who would be paid by a merchant's code, what the code fixes, and what
// the payer would pay in another currency. It reserves nothing; a quote is kept for
// the wallet until it is over.
func (e *Engine) Resolve(ctx context.Context, r tongma.Request) (tongma.Resolution, error) {
	r.Op = tongma.OpResolve
	if err := e.admit(&r); err != nil {
		return tongma.Resolution{}, err
	}
	d := e.Directory()
	out := tongma.Resolution{Directory: d.Version()}
	code, err := d.Decode(r.Code)
	if err != nil {
		out.Reason, out.Detail = codeReason(err), err.Error()
		return out, nil
	}
	asked := r.Amount
	if x, spends := spending(d, e.schemeOf(r.From), code, asked); spends {
		asked = tongma.Money{Currency: x.gets} // how much of it a dealer says
	}
	res := d.Explain(code, schemes.Query{Asker: r.From, Op: tongma.OpResolve, Amount: asked, Country: r.Merchant.Country})
	out.Reason, out.Detail, out.Merchant = res.Refusal, res.Detail, merchantOf(code, "")
	if len(res.Candidates) > 0 {
		out.Merchant = merchantOf(code, res.Candidates[0].Path)
	}
	if m, ok := amountOf(code); ok {
		out.Amount = m
	}
	for _, c := range res.Candidates {
		out.Candidates = append(out.Candidates, tongma.Candidate{Scheme: c.Scheme, Participant: c.Participant, Rule: c.Rule, Path: c.Path})
	}
	return out, e.offer(ctx, d, code, &r, &out)
}

// refund gives back all or part of an approved payment. It is asked for by the
// acquirer of the payment, and is a payment of its own, the other way round.
func (e *Engine) refund(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	of, err := e.find(ctx, &r)
	if err != nil {
		return tongma.Answer{}, err
	}
	if of.Creditor != r.From {
		return tongma.Answer{}, &tongma.Error{Op: "switch.refund", Reason: tongma.PaymentUnknown}
	}
	r.Original = of.ID
	draft := e.newHold(&r)
	hold := &draft.Entry
	hold.Debtor, hold.Creditor, hold.Original = of.Creditor, of.Debtor, of.ID
	hold.Scheme = of.Scheme
	if of.Op == tongma.OpTransfer {
		hold.Scheme = e.schemeOf(of.Debtor)
	}
	if of.Phase != clearing.KindPost || of.Op == tongma.OpRefund {
		// Said before the scheme is looked up, since a payment that never got as far
		// as a scheme has none.
		return e.refuse(ctx, &r, *hold, tongma.NotRefundable)
	}
	r.Acquirer, r.Issuer, r.Scheme = of.Creditor, of.Debtor, hold.Scheme
	return e.run(ctx, &r, draft)
}

// schemeOf finds the scheme by which a wallet that pays is itself reached.
func (e *Engine) schemeOf(p tongma.ParticipantID) tongma.SchemeID {
	for _, s := range e.Directory().Schemes() {
		if s.Participant == p {
			return s.ID
		}
	}
	return ""
}

// reverse undoes a payment whatever became of it, on the word of whoever asked
// for it. A reversal that comes before its payment burns the key, so that the
// late payment is refused.
func (e *Engine) reverse(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	p, err := e.find(ctx, &r)
	if tongma.ReasonOf(err) == tongma.PaymentUnknown && r.Original.IsZero() && r.OfKey != "" {
		entry := clearing.Entry{Kind: clearing.KindTombstone, Payment: e.opts.NewID(), Asker: r.From, Key: r.OfKey, Reason: tongma.ReversedBeforeOriginal}
		res, err := e.ledger.Submit(ctx, entry)
		if err != nil {
			return tongma.Answer{}, err
		}
		if res.Elsewhere != 0 {
			return e.opts.Shards.Belongs(ctx, original(ctx, &r), res.Elsewhere)
		}
		if !res.Exists {
			return answerOf(res.Payment), nil
		}
		p = *res.Payment // the payment came in between: undo it
	} else if err != nil {
		return tongma.Answer{}, err
	}
	if p.Asker != r.From || p.Op == tongma.OpRefund {
		return tongma.Answer{}, &tongma.Error{Op: "switch.reverse", Reason: tongma.PaymentUnknown}
	}
	return e.undo(ctx, p)
}

// inquire answers from the books, to anyone who is a party to the payment.
func (e *Engine) inquire(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	p, err := e.find(ctx, &r)
	if err != nil {
		return tongma.Answer{}, err
	}
	if p.Asker == r.From && !p.Final() {
		p = e.settled(ctx, p)
	}
	return answerOf(&p), nil
}

// find reads the payment that r means, by its id or by the asker's own key. A
// payment of others is as unknown as one that is not there.
func (e *Engine) find(ctx context.Context, r *tongma.Request) (clearing.Payment, error) {
	var p clearing.Payment
	var ok bool
	err := e.ledger.Read(ctx, func(b *clearing.Book) {
		if !r.Original.IsZero() {
			p, ok = b.Payment(r.Original)
		} else {
			p, ok = b.PaymentByKey(r.From, r.OfKey)
		}
	})
	if err != nil { // and p is not durable yet, or still being written
		return clearing.Payment{}, err
	}
	if !ok || (p.Asker != r.From && p.Debtor != r.From && p.Creditor != r.From && (p.Dealer == "" || p.Dealer != r.From)) {
		return clearing.Payment{}, &tongma.Error{Op: "switch." + r.Op.String(), Reason: tongma.PaymentUnknown}
	}
	return p, nil
}

// newHold is a draft of the hold that r asks for, without who pays whom.
func (e *Engine) newHold(r *tongma.Request) *clearing.Draft {
	d := e.draft()
	d.Entry = clearing.Entry{Kind: clearing.KindHold, Payment: e.opts.NewID(), Op: r.Op, Asker: r.From, Key: r.Key,
		Amount: r.Amount, Content: contentOf(r), Merchant: cut(r.Merchant.ID, 35), Order: cut(r.Order, 64)}
	return d
}

// contentOf is a digest of what a repeat must not change, other than what the
// books compare by name.
func contentOf(r *tongma.Request) clearing.Digest {
	buf := make([]byte, 0, 256)
	for _, s := range []string{r.Merchant.ID, r.Merchant.Terminal, r.Order} {
		buf = append(append(buf, s...), 0)
	}
	if r.Op != tongma.OpPay { // a payer's code is compared by its keyed digest
		buf = append(buf, r.Code...)
	}
	if r.Quote != "" {
		buf = append(append(buf, 0), r.Quote...)
	}
	sum := sha256.Sum256(buf)
	return clearing.Digest(sum[:16])
}

// resolvePayer reads the payer's code and finds the scheme that issued it.
func (e *Engine) resolvePayer(ctx context.Context, d *schemes.Directory, r *tongma.Request) (codespec.Code, schemes.Candidate, tongma.Reason) {
	code, err := d.Decode(r.Code)
	if err != nil {
		return codespec.Code{Raw: r.Code}, schemes.Candidate{}, codeReason(err)
	}
	chosen, refusal := e.choose(ctx, d, code, r)
	return code, chosen, refusal
}

// choose takes the best candidate of the directory, asking the schemes themselves
// where the code does not decide.
func (e *Engine) choose(ctx context.Context, d *schemes.Directory, code codespec.Code, r *tongma.Request) (schemes.Candidate, tongma.Reason) {
	res := d.Resolve(code, schemes.Query{Asker: r.From, Op: r.Op, Amount: r.Amount, Country: r.Merchant.Country})
	if res.Refusal != tongma.NoReason {
		return schemes.Candidate{}, res.Refusal
	}
	if !res.Candidates[0].Consult {
		return res.Candidates[0], tongma.NoReason
	}
	for _, c := range res.Candidates {
		if e.consult(ctx, r, c) {
			return c, tongma.NoReason
		}
	}
	return schemes.Candidate{}, tongma.ConsultFailed
}

// consult asks one scheme whether the code is its own. Only a clear yes counts.
func (e *Engine) consult(ctx context.Context, r *tongma.Request, c schemes.Candidate) bool {
	adapter := e.adapter(c.Scheme)
	if adapter == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	a, err := adapter.Consult(ctx, tongma.Request{Op: tongma.OpConsult, Key: r.Key, Scheme: c.Scheme, Acquirer: r.From, Code: r.Code, Amount: r.Amount})
	return err == nil && a.Outcome == tongma.Approved
}

// tooLate refuses a leg that cannot be finished in the time that is left.
func (e *Engine) tooLate(ctx context.Context, c schemes.Candidate) tongma.Reason {
	if e.adapter(c.Scheme) == nil {
		return tongma.AdapterDown
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < e.opts.LeastLeg {
		return tongma.DeadlineTooShort
	}
	return tongma.NoReason
}

// refuse writes the refusal under the asker's key, so that a repeat hears the
// same even when the directory has changed. The code is not spent: no scheme has
// heard of it.
func (e *Engine) refuse(ctx context.Context, r *tongma.Request, entry clearing.Entry, reason tongma.Reason) (tongma.Answer, error) {
	entry = refusalOf(r, entry, reason)
	if a, elsewhere, err := e.claim(ctx, r, &entry); elsewhere {
		return a, err
	}
	return e.refuseHere(ctx, r, entry, reason)
}

// refusalOf is the refusal of what an entry would have been.
func refusalOf(r *tongma.Request, entry clearing.Entry, reason tongma.Reason) clearing.Entry {
	entry.Kind, entry.Reason, entry.CodeTail = clearing.KindRefuse, reason, ""
	entry.Amount, entry.Dealer, entry.Target, entry.Quote, entry.Rate = r.Amount, "", tongma.Money{}, "", ""
	return entry
}

// refuseHere is refuse under a key that is known to be this shard's.
func (e *Engine) refuseHere(ctx context.Context, r *tongma.Request, entry clearing.Entry, reason tongma.Reason) (tongma.Answer, error) {
	entry = refusalOf(r, entry, reason)
	code := entry.Code
	res, err := e.ledger.Submit(ctx, entry)
	if err != nil {
		return tongma.Answer{}, err
	}
	if res.Elsewhere != 0 {
		return e.opts.Shards.Belongs(ctx, original(ctx, r), res.Elsewhere)
	}
	if res.Exists {
		entry.Code = code
		return e.repeat(ctx, r, res)
	}
	if !res.Write {
		return tongma.Answer{}, &tongma.Error{Op: "switch." + r.Op.String(), Reason: res.Reason}
	}
	return answerOf(res.Payment), nil
}

// codeReason maps what codespec says of an unreadable code to the catalogue.
func codeReason(err error) tongma.Reason {
	var d *codespec.DecodeError
	if !errors.As(err, &d) {
		return tongma.CodeUnreadable
	}
	switch {
	case d.Format == codespec.FormatNotPayable:
		return tongma.CodeNotPayable
	case d.Reason == "crc-mismatch", d.Reason == codespec.ReasonCheckDigits:
		return tongma.CodeChecksum
	case d.Reason == codespec.ReasonNoRule, d.Reason == codespec.ReasonUnknownHost:
		return tongma.IssuerUnknown
	case d.Reason == codespec.ReasonEmpty, d.Reason == codespec.ReasonUnknownFormat, d.Format == codespec.FormatUnknown:
		return tongma.CodeUnreadable
	}
	return tongma.CodeMalformed
}

// amountOf returns the amount that a merchant's code fixes.
func amountOf(code codespec.Code) (tongma.Money, bool) {
	if code.MPM == nil || code.MPM.Amount() == "" {
		return tongma.Money{}, false
	}
	c, ok := tongma.CurrencyByNumber(code.MPM.Currency())
	if !ok {
		return tongma.Money{}, false
	}
	m, err := tongma.ParseMoney(code.MPM.Amount(), c)
	return m, err == nil && !m.IsZero()
}

// fixedAmount refuses an amount or a currency other than the code's own. An
// amount in the code that cannot be read, such as one with too many decimals,
// refuses whatever is asked.
func fixedAmount(code codespec.Code, asked tongma.Money) tongma.Reason {
	if code.MPM == nil {
		return tongma.NoReason
	}
	c, ok := tongma.CurrencyByNumber(code.MPM.Currency())
	if !ok {
		if code.MPM.Currency() == "" {
			return tongma.NoReason
		}
		return tongma.CurrencyUnknown
	}
	if c != asked.Currency {
		return tongma.CurrencyMismatch
	}
	if code.MPM.Amount() == "" {
		return tongma.NoReason
	}
	m, err := tongma.ParseMoney(code.MPM.Amount(), c)
	switch {
	case err != nil:
		return tongma.ReasonOf(err)
	case !m.IsZero() && m != asked:
		return tongma.AmountMismatch
	}
	return tongma.NoReason
}

// merchantOf is what a merchant's code says of the merchant, with its number at
// the scheme whose account stands at path.
func merchantOf(code codespec.Code, path string) tongma.Merchant {
	if code.MPM == nil {
		return tongma.Merchant{}
	}
	m := code.MPM
	out := tongma.Merchant{ID: cut(accountOf(code, path), 35), Name: cut(m.Get("59"), 128), City: cut(m.Get("60"), 64), Country: cut(m.Get("58"), 2), MCC: cut(m.MCC(), 4)}
	if unified, ok := code.UnifiedAccount(); ok {
		out.Terminal = unified.Till
	}
	return out
}

// printed returns the merchant as its code has it, and what the code does not say as
// the wallet has it.
func printed(code, wallet tongma.Merchant) tongma.Merchant {
	return tongma.Merchant{ID: cmp.Or(code.ID, wallet.ID), Name: cmp.Or(code.Name, wallet.Name), City: cmp.Or(code.City, wallet.City),
		Country: cmp.Or(code.Country, wallet.Country), MCC: cmp.Or(code.MCC, wallet.MCC), Terminal: cmp.Or(code.Terminal, wallet.Terminal)}
}

// accountOf finds the merchant's number in the template at path: the unified
// format's own; an account name as KHQR has it; else field 02, or 01.
func accountOf(code codespec.Code, path string) string {
	unified, ok := code.UnifiedAccount()
	for i := range code.MPM.Accounts {
		t := &code.MPM.Accounts[i]
		if t.ID != path {
			continue
		}
		if strings.EqualFold(t.GUID, codespec.UnifiedGUID) {
			return unified.Merchant
		}
		if strings.Contains(t.GUID, "@") {
			return t.GUID
		}
		for _, id := range []string{"02", "01"} {
			if v, ok := t.Field(id); ok && v != "" {
				return v
			}
		}
		return t.Value
	}
	if ok {
		return unified.Merchant
	}
	return ""
}

func tail(code string) string {
	if len(code) < 8 {
		return ""
	}
	t := code[len(code)-4:]
	for i := range len(t) {
		if t[i] < 0x21 || t[i] > 0x7e {
			return ""
		}
	}
	return t
}

func cut(s string, limit int) string { return s[:min(len(s), limit)] }
