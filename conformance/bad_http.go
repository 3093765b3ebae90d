package conformance

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/tongma/tongma"
)

// as is the status with which a refusal comes that is not the reason's own.
func (o Observation) as(status int) Observation {
	o.HTTP = status
	return o
}

// payment is a good payment of north over HTTP, to be spoilt.
func payment(t *Target) call {
	return call{who: north, path: "/v1/payments", key: t.key(), body: till(t.wechatCode(approve)).String()}
}

// badAmounts are amounts that nobody can pay.
func badAmounts() []Case {
	row := func(id, title string, r tongma.Reason, amount any) Case {
		return httpCase(id, title, refused(r), func(t *Target, _ Prior) call {
			c := payment(t)
			c.body = till(t.wechatCode(approve)).with(ask{"amount": amount}).String()
			return c
		})
	}
	return []Case{
		row("BAD-201", "A payment of nothing", tongma.AmountInvalid, money(0, "CNY")),
		row("BAD-202", "A payment of less than nothing", tongma.AmountInvalid, money(-1250, "CNY")),
		row("BAD-203", "A payment of thirteen digits", tongma.AmountInvalid, money(1_000_000_000_000, "CNY")),
		row("BAD-204", "An amount that no 64-bit number can hold", tongma.FieldInvalid, ask{"minor": rawNumber("99999999999999999999"), "currency": "CNY"}),
		row("BAD-205", "An amount in yuan where minor units are due", tongma.FieldInvalid, ask{"minor": rawNumber("12.50"), "currency": "CNY"}),
		row("BAD-206", "An amount with an exponent", tongma.FieldInvalid, ask{"minor": rawNumber("1e3"), "currency": "CNY"}),
		row("BAD-207", "An amount in quotes", tongma.FieldInvalid, ask{"minor": "1250", "currency": "CNY"}),
		row("BAD-208", "No amount at all", tongma.AmountMissing, nil),
		row("BAD-209", "An amount without a currency", tongma.FieldMissing, ask{"minor": 1250}),
		row("BAD-210", "A currency that ISO 4217 does not have", tongma.CurrencyUnknown, money(1250, "ZZZ")),
		row("BAD-211", "A currency in small letters", tongma.CurrencyUnknown, money(1250, "cny")),
	}
}

// rawNumber is written into JSON as it stands.
type rawNumber string

// MarshalJSON implements json.Marshaler.
func (n rawNumber) MarshalJSON() ([]byte, error) { return []byte(n), nil }

// badRepeats use a key a second time for something else.
func badRepeats() []Case {
	row := func(id, title string, r tongma.Reason, changes ask) Case {
		return httpCase(id, title, refused(r), func(_ *Target, before Prior) call {
			return call{who: north, path: "/v1/payments", key: before.Key, body: till(before.Code).with(changes).String()}
		}).after(paid)
	}
	return []Case{
		row("BAD-301", "A key used again with another amount", tongma.ExistsOtherAmount, ask{"amount": money(1300, "CNY")}),
		row("BAD-302", "A key used again with the same number in another currency", tongma.ExistsOtherCurrency, ask{"amount": money(1250, "HKD")}),
		row("BAD-303", "A key used again with another payer's code", tongma.ExistsOtherCode, ask{"code": "130100000000000042"}),
		row("BAD-304", "A key used again for another shop", tongma.ExistsOtherContent, ask{"merchant": ask{"id": "898100012340002", "terminal": "T0000001"}}),
		row("BAD-305", "A key used again for another order of the shop", tongma.ExistsOtherContent, ask{"order": "table 8"}),
		row("BAD-306", "A key of a payment used again for one over the limit", tongma.ExistsOtherAmount, ask{"amount": money(5_000_001, "CNY")}),
		row("BAD-307", "A key of a payment used again with a broken code", tongma.ExistsOtherCode, ask{"code": "77000123456789012378"}),
		httpCase("BAD-308", "The key of a payment used again for its refund", refused(tongma.ExistsOtherOperation), func(_ *Target, before Prior) call {
			return call{who: north, path: "/v1/payments/{id}/refunds", key: before.Key, body: ask{"amount": money(1250, "CNY")}.String()}
		}).after(paid),
		httpCase("BAD-309", "The key of a declined payment used again with another amount", refused(tongma.ExistsOtherAmount), func(_ *Target, before Prior) call {
			return call{who: north, path: "/v1/payments", key: before.Key, body: till(before.Code).with(ask{"amount": money(1, "CNY")}).String()}
		}).after(declinedBefore),
		httpCase("BAD-310", "The key of a payment that is being confirmed, used again with another amount", refused(tongma.ExistsOtherAmount), func(_ *Target, before Prior) call {
			return call{who: north, path: "/v1/payments", key: before.Key, body: till(before.Code).with(ask{"amount": money(1, "CNY")}).String()}
		}).after(pendingBefore),
		httpCase("BAD-311", "A payment that arrives behind its own reversal", declined(tongma.ReversedBeforeOriginal), func(t *Target, before Prior) call {
			return call{who: north, path: "/v1/payments", key: before.Key, body: till(t.wechatCode(approve)).String()}
		}).after(reversedUnseen),
	}
}

// badRequests are requests that break the rules of the HTTP door.
func badRequests() []Case {
	row := func(id, title string, want Observation, spoil func(c *call)) Case {
		return httpCase(id, title, want, func(t *Target, _ Prior) call {
			c := payment(t)
			spoil(&c)
			return c
		})
	}
	body := func(id, title string, r tongma.Reason, spoil func(good string) string) Case {
		return row(id, title, refused(r), func(c *call) { c.body = spoil(c.body) })
	}
	header := func(id, title string, want Observation, name, value string) Case {
		return row(id, title, want, func(c *call) { c.header = map[string]string{name: value} })
	}
	add := func(members string) func(string) string {
		return func(good string) string { return good[:len(good)-1] + "," + members + "}" }
	}
	media := refused(tongma.MessageMalformed).as(http.StatusUnsupportedMediaType)
	return []Case{
		row("BAD-401", "A payment without an idempotency key", refused(tongma.KeyMissing), func(c *call) { c.key = "" }),
		row("BAD-402", "A payment with two idempotency keys", refused(tongma.FieldInvalid), func(c *call) { c.twice = true }),
		row("BAD-403", "An idempotency key of 65 characters", refused(tongma.FieldInvalid), func(c *call) { c.key = strings.Repeat("k", 65) }),
		row("BAD-404", "An idempotency key with a space in it", refused(tongma.FieldInvalid), func(c *call) { c.key += " b" }),
		body("BAD-405", "One key in the header and another in the body", tongma.FieldInvalid, add(`"key":"another"`)),
		body("BAD-406", "A member that the door does not know", tongma.FieldUnknown, add(`"ammount":{"minor":1,"currency":"CNY"}`)),
		body("BAD-407", "A member given twice", tongma.MessageMalformed, add(`"code":"130100000000000043"`)),
		body("BAD-408", "A member nested five thousand deep", tongma.FieldUnknown, add(`"x":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000))),
		body("BAD-409", "A known member nested five thousand deep", tongma.MessageMalformed, add(`"reason":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000))),
		body("BAD-410", "A body of more than sixteen kilobytes", tongma.MessageTooLong, add(`"order":"`+strings.Repeat("x", 16<<10)+`"`)),
		body("BAD-411", "A body of eight megabytes", tongma.MessageTooLong, func(string) string { return strings.Repeat(" ", 8<<20) + "{}" }),
		body("BAD-412", "A body that ends in the middle", tongma.MessageMalformed, func(good string) string { return good[:len(good)/2] }),
		body("BAD-413", "Two payments in one body", tongma.MessageMalformed, func(good string) string { return good + good }),
		body("BAD-414", "A list where a payment is due", tongma.MessageMalformed, func(good string) string { return "[" + good + "]" }),
		body("BAD-415", "A body that is not UTF-8", tongma.MessageMalformed, func(good string) string { return strings.Replace(good, "NOODLE", "N\xffODLE", 1) }),
		body("BAD-416", "A payment without a code", tongma.FieldMissing, func(string) string { return till("").with(ask{"code": nil}).String() }),
		body("BAD-417", "A code of two thousand characters", tongma.FieldInvalid, func(string) string { return till(strings.Repeat("1", 2000)).String() }),
		body("BAD-418", "A payment that names the issuer who shall pay", tongma.FieldInvalid, add(`"issuer":"antnet"`)),
		body("BAD-419", "A payment that brings its own payment id", tongma.FieldInvalid, add(`"payment":"pay_00000000000000000000000001"`)),
		body("BAD-420", "A shop's number of two hundred characters", tongma.FieldInvalid, func(good string) string {
			return strings.Replace(good, "898100012340001", strings.Repeat("8", 200), 1)
		}),
		header("BAD-421", "A payment sent as a form", media, "Content-Type", "application/x-www-form-urlencoded"),
		header("BAD-422", "A payment without a content type", media, "Content-Type", ""),
		header("BAD-423", "A payment in UTF-16", media, "Content-Type", "application/json; charset=utf-16"),
		header("BAD-424", "A patience of eleven minutes", refused(tongma.FieldInvalid), "Tm-Budget-Ms", "660000"),
		header("BAD-425", "A payment sent by a page of another site", refused(tongma.NotPermittedHere), "Sec-Fetch-Site", "cross-site"),
		header("BAD-426", "A payment with a token that nobody has", refused(tongma.NotAuthenticated), "Authorization", "Bearer tm_0000000000000000000000000000000000000000000"),
		header("BAD-427", "A payment without a token", refused(tongma.NotAuthenticated), "Authorization", ""),
		header("BAD-428", "A payment with a token in the wrong scheme", refused(tongma.NotAuthenticated), "Authorization", "Basic dG06dG0="),
		row("BAD-429", "A payment asked for by the operator, who has no account", refused(tongma.NotPermittedHere), func(c *call) { c.who = operator }),
		row("BAD-430", "A payment sent with the wrong method", refused(tongma.OperationUnknown).as(http.StatusMethodNotAllowed), func(c *call) { c.method = http.MethodPut }),
		row("BAD-431", "A payment sent to a path that is not there", refused(tongma.OperationUnknown), func(c *call) { c.path = "/v2/payments" }),
		httpCase("BAD-432", "A participant that closes a clearing window", refused(tongma.NotPermittedHere), func(t *Target, _ Prior) call {
			return call{who: north, path: "/v1/windows/close", key: t.key()}
		}),
		httpCase("BAD-433", "A participant that reads the journal of everybody", refused(tongma.NotPermittedHere), func(*Target, Prior) call {
			return call{who: north, method: http.MethodGet, path: "/v1/journal"}
		}),
		httpCase("BAD-434", "The settlement of a window that is not there", refused(tongma.WindowUnknown), func(t *Target, _ Prior) call {
			return call{who: operator, path: "/v1/windows/win_999999/settle", key: t.key()}
		}),
	}
}

// badReferences ask about payments of others, or for what a payment cannot have.
func badReferences() []Case {
	reverse := func(who string) func(*Target, Prior) call {
		return func(t *Target, _ Prior) call {
			return call{who: who, path: "/v1/payments/{id}/reverse", key: t.key()}
		}
	}
	refund := func(who string, minor int64, currency string) func(*Target, Prior) call {
		return func(t *Target, _ Prior) call {
			return call{who: who, path: "/v1/payments/{id}/refunds", key: t.key(), body: ask{"amount": money(minor, currency)}.String()}
		}
	}
	get := func(who, id string) func(*Target, Prior) call {
		return func(*Target, Prior) call {
			return call{who: who, method: http.MethodGet, path: "/v1/payments/" + id}
		}
	}
	nobodys := "pay_00000000000000000000000001"
	return []Case{
		httpCase("BAD-501", "A look at somebody else's payment", refused(tongma.PaymentUnknown), get(harbour, "{id}")).after(paid),
		httpCase("BAD-502", "The reversal of somebody else's payment", refused(tongma.PaymentUnknown), reverse(harbour)).after(paid),
		httpCase("BAD-503", "The refund of somebody else's payment", refused(tongma.PaymentUnknown), refund(harbour, 1250, "CNY")).after(paid),
		httpCase("BAD-504", "A payment reversed by the wallet that paid it, which did not ask for it", refused(tongma.PaymentUnknown), reverse(wechat)).after(paid),
		httpCase("BAD-505", "A payment refunded by the wallet that paid it", refused(tongma.PaymentUnknown), refund(wechat, 1250, "CNY")).after(paid),
		httpCase("BAD-506", "A look at a payment that is not there", refused(tongma.PaymentUnknown), get(north, nobodys)),
		httpCase("BAD-507", "A look at a payment whose id is misspelt", refused(tongma.PaymentUnknown), get(north, "pay_%2e%2e%2fwindows")),
		httpCase("BAD-508", "The refund of a payment that is not there", refused(tongma.PaymentUnknown), func(t *Target, _ Prior) call {
			return call{who: north, path: "/v1/payments/" + nobodys + "/refunds", key: t.key(), body: ask{"amount": money(1250, "CNY")}.String()}
		}),
		httpCase("BAD-509", "A refund of more than was paid", declined(tongma.RefundExceeds), refund(north, 1251, "CNY")).after(paid),
		httpCase("BAD-510", "A second refund of more than is left", declined(tongma.RefundExceeds), refund(north, 251, "CNY")).after(refunded),
		httpCase("BAD-511", "A refund in another currency", declined(tongma.CurrencyMismatch), refund(north, 1250, "HKD")).after(paid),
		httpCase("BAD-512", "The refund of a payment that the wallet declined", declined(tongma.NotRefundable), refund(north, 1250, "CNY")).after(declinedBefore),
		httpCase("BAD-513", "The refund of a payment that never reached a wallet", declined(tongma.NotRefundable), refund(north, 1250, "CNY")).after(refusedBefore),
		httpCase("BAD-514", "The refund of a payment that the payer is still confirming", declined(tongma.NotRefundable), refund(north, 1250, "CNY")).after(pendingBefore),
		httpCase("BAD-515", "The refund of a payment that was reversed", declined(tongma.NotRefundable), refund(north, 1250, "CNY")).after(reversedBefore),
		httpCase("BAD-516", "The reversal of a payment of which a part was refunded", refused(tongma.AlreadyRefunded), reverse(north)).after(refunded),
		httpCase("BAD-517", "The reversal of a refund", refused(tongma.PaymentUnknown), reverse(north)).after(theRefund),
		httpCase("BAD-518", "A refund without an amount", refused(tongma.AmountMissing), func(t *Target, _ Prior) call {
			return call{who: north, path: "/v1/payments/{id}/refunds", key: t.key(), body: "{}"}
		}).after(paid),
		httpCase("BAD-519", "A refund whose body names another payment than its path", refused(tongma.FieldInvalid), func(t *Target, _ Prior) call {
			return call{who: north, path: "/v1/payments/{id}/refunds", key: t.key(), body: fmt.Sprintf(`{"original":%q,"amount":{"minor":1,"currency":"CNY"}}`, nobodys)}
		}).after(paid),
		httpCase("BAD-520", "A reversal that names no payment", refused(tongma.FieldMissing), func(t *Target, _ Prior) call {
			return call{who: north, path: "/v1/reversals", key: t.key(), body: "{}"}
		}),
	}
}
