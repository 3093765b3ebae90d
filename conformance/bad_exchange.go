package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/tongma/tongma"
)

// badExchanges are payments whose payer pays in another currency than the shop is paid
// in, and quotes that are not what they are taken for. PromptPay's payers have baht;
// the shop is paid in yuan.
func badExchanges() []Case {
	code := shop{}.code()
	pays := ask{"code": code, "amount": money(1250, "CNY")}
	transfer := func(id, title string, want Observation, changes func(before Prior) ask) Case {
		return httpCase(id, title, want, func(t *Target, before Prior) call {
			return call{who: thainet, path: "/v1/transfers", key: t.key(), body: pays.with(changes(before)).String()}
		})
	}
	plain := func(changes ask) func(Prior) ask { return func(Prior) ask { return changes } }
	named := func(changes ask) func(Prior) ask {
		return func(before Prior) ask { return ask{"quote": before.Code}.with(changes) }
	}
	at := func(id, title string, r tongma.Reason, changes ask) Case {
		return httpCase(id, title, refused(r), func(t *Target, _ Prior) call {
			c := payment(t)
			c.body = till(t.wechatCode(approve)).with(changes).String()
			return c
		})
	}
	shown := ask{"dealer": "fx-lotus", "quote": "q", "rate": "THB/CNY 0.3 target", "source": money(1, "THB"), "target": money(1250, "CNY")}
	return []Case{
		transfer("BAD-901", "A payer who has not seen what it comes to in its own currency", declined(tongma.QuoteUnknown), plain(nil)),
		transfer("BAD-902", "A quote that nobody has given", declined(tongma.QuoteUnknown), plain(ask{"quote": "test-00000000000000000000000000"})),
		transfer("BAD-903", "A quote for 12.50 yuan, used for 12.51", declined(tongma.QuoteMismatch), named(ask{"amount": money(1251, "CNY")})).after(quoted),
		transfer("BAD-904", "A quote used for a second payment", declined(tongma.QuoteSpent), named(nil)).after(quoteUsed),
		transfer("BAD-905", "A quote in baht, for a payer who wants to pay in dollars", declined(tongma.CurrencyNotServed), named(ask{"pay_in": "USD"})).after(quoted),
		httpCase("BAD-906", "A quote that another wallet was given", declined(tongma.QuoteMismatch), func(t *Target, before Prior) call {
			return call{who: tongbao, path: "/v1/transfers", key: t.key(), body: pays.with(ask{"quote": before.Code}).String()}
		}).after(quoted),
		httpCase("BAD-907", "A key used again with another quote", refused(tongma.ExistsOtherContent), func(_ *Target, before Prior) call {
			return call{who: thainet, path: "/v1/transfers", key: before.Key, body: pays.with(ask{"quote": "another"}).String()}
		}).after(quoteUsed),
		httpCase("BAD-908", "A refund in the payer's currency, which the shop was not paid in", declined(tongma.CurrencyMismatch), func(t *Target, before Prior) call {
			return call{who: north, path: "/v1/payments/{id}/refunds", key: t.key(), body: ask{"amount": money(100, "THB")}.String()}
		}).after(quoteUsed),
		transfer("BAD-909", "A quote of 65 characters", refused(tongma.FieldInvalid), plain(ask{"quote": "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq"})),
		transfer("BAD-910", "A quote with a space in it", refused(tongma.FieldInvalid), plain(ask{"quote": "a b"})),
		transfer("BAD-911", "A quote that is a number", refused(tongma.MessageMalformed), plain(ask{"quote": 7})),
		transfer("BAD-912", "A payer who pays in a currency that ISO 4217 does not have", refused(tongma.CurrencyUnknown), plain(ask{"pay_in": "ZZZ"})),
		transfer("BAD-913", "A wallet that brings both amounts and the rate itself", refused(tongma.FieldInvalid), plain(ask{"exchange": shown})),
		at("BAD-914", "A till that names a quote", tongma.FieldInvalid, ask{"quote": "q"}),
		at("BAD-915", "A till that says in what the payer pays", tongma.FieldInvalid, ask{"pay_in": "HKD"}),
		at("BAD-916", "A till that brings both amounts and the rate itself", tongma.FieldInvalid, ask{"exchange": shown}),
		at("BAD-917", "A rate of two hundred digits", tongma.FieldInvalid, ask{"exchange": shown.with(ask{"rate": "THB/CNY 0." + digits(200) + " target"})}),
		at("BAD-918", "An exchange with a member that nobody knows", tongma.FieldUnknown, ask{"exchange": ask{"margin": 1}}),
		at("BAD-919", "An exchange whose amount has no currency", tongma.FieldMissing, ask{"exchange": ask{"source": ask{"minor": 1}}}),
		transfer("BAD-920", "A quote that was shown for one shop, used at another", declined(tongma.QuoteMismatch), named(ask{"code": shop{account: unified("2001", "SHOP89")}.code()})).after(quoted),
	}
}

// digits returns so many digits.
func digits(n int) string {
	text := make([]byte, n)
	for i := range text {
		text[i] = '1'
	}
	return string(text)
}

// quoted has PromptPay's network shown a quote for 12.50 CNY. Its id stands in for the
// code.
func quoted(ctx context.Context, t *Target) (Prior, error) {
	a, err := t.http(ctx, call{who: thainet, method: http.MethodPost, path: "/v1/resolve", body: ask{"code": shop{}.code(), "amount": money(1250, "CNY")}.String()})
	if err != nil {
		return Prior{}, err
	}
	var res struct {
		Exchange struct{ Quote string }
	}
	if err := json.Unmarshal(a.body, &res); err != nil {
		return Prior{}, err
	}
	if res.Exchange.Quote == "" {
		return Prior{}, errors.New("no dealer has quoted")
	}
	return Prior{Code: res.Exchange.Quote}, nil
}

// quoteUsed pays by a quote.
func quoteUsed(ctx context.Context, t *Target) (Prior, error) {
	p, err := quoted(ctx, t)
	if err != nil {
		return p, err
	}
	p.Key = t.key()
	a, err := t.http(ctx, call{who: thainet, method: http.MethodPost, path: "/v1/transfers", key: p.Key,
		body: ask{"code": shop{}.code(), "amount": money(1250, "CNY"), "quote": p.Code}.String()})
	if err != nil {
		return p, err
	}
	got, err := a.answer()
	if err == nil && got.Status != "approved" {
		err = errors.New("a good payment by a quote is " + got.Status + " for the reason " + got.ReasonName)
	}
	p.Payment = got.Payment
	return p, err
}
