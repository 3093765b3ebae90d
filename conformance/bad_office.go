package conformance

import (
	"net/http"
	"strings"

	"github.com/tongma/tongma"
)

// officeRow is a question to the office, under a key of its own if it writes.
func officeRow(id, title string, want Observation, who, method, path, body string) Case {
	return httpCase(id, title, want, func(t *Target, _ Prior) call {
		c := call{who: who, method: method, path: path, body: body}
		if method != http.MethodGet {
			c.method, c.key = "", t.key()
		}
		return c
	})
}

func officePost(id, title string, r tongma.Reason, who, path, body string) Case {
	return officeRow(id, title, refused(r), who, http.MethodPost, path, body)
}

func officeGet(id, title string, r tongma.Reason, who, path string) Case {
	return officeRow(id, title, refused(r), who, http.MethodGet, path, "")
}

// badOffice are questions about windows, caps, participants and files that break a
// rule, or come from somebody who may not ask them. The sandbox knows one person of
// the operator: what takes two can only be refused.
func badOffice() []Case { return append(badWindows(), badPapers()...) }

// badWindows are those about caps, participants and windows.
func badWindows() []Case {
	post, get := officePost, officeGet
	const (
		proposals = "/v1/caps/proposals"
		wallet    = "/v1/participants/" + tongbao
		why       = `{"why":"a test"}`
	)
	limit := ask{"participant": tongbao, "cap": money(1, "CNY")}.String()
	funds := func(minor int64, currency string) string { return ask{"amount": money(minor, currency)}.String() }
	return []Case{
		post("BAD-801", "A participant that proposes its own cap", tongma.NotPermittedHere, tongbao, proposals, limit),
		post("BAD-802", "A cap proposed where there is nobody to approve it", tongma.NotPermittedHere, operator, proposals, limit),
		post("BAD-803", "The approval of a cap by the only person there is", tongma.NotPermittedHere, operator, proposals+"/none/approve", ""),
		post("BAD-804", "A proposed cap that says who proposes it", tongma.FieldUnknown, operator, proposals, strings.TrimSuffix(limit, "}")+`,"maker":"ann"}`),
		post("BAD-805", "A proposed cap in yuan where minor units are due", tongma.FieldInvalid, operator, proposals, `{"participant":"tongbao","cap":{"minor":12.50,"currency":"CNY"}}`),
		httpCase("BAD-806", "A proposed cap without an idempotency key", refused(tongma.KeyMissing), func(*Target, Prior) call {
			return call{who: operator, path: proposals, body: limit}
		}),
		post("BAD-811", "A participant that suspends another", tongma.NotPermittedHere, north, wallet+"/suspend", why),
		post("BAD-812", "The suspension of a participant that is not there", tongma.ParticipantUnknown, operator, "/v1/participants/nobody/suspend", why),
		post("BAD-813", "A suspension without a reason", tongma.FieldInvalid, operator, wallet+"/suspend", "{}"),
		post("BAD-814", "A suspension with a reason of two lines", tongma.FieldInvalid, operator, wallet+"/suspend", `{"why":"one\ntwo"}`),
		post("BAD-815", "A participant that books its own deposit", tongma.NotPermittedHere, tongbao, wallet+"/deposits", funds(100, "CNY")),
		post("BAD-816", "A deposit of nothing", tongma.FieldInvalid, operator, wallet+"/deposits", funds(0, "CNY")),
		post("BAD-817", "A deposit in a currency in which there is no account", tongma.NoAccount, operator, wallet+"/deposits", funds(100, "TZS")),
		post("BAD-818", "A withdrawal of more than is there", tongma.AmountInvalid, operator, wallet+"/withdrawals", funds(100, "CNY")),
		post("BAD-821", "A window closed that is not there", tongma.WindowUnknown, operator, "/v1/windows/win_999999/close", ""),
		post("BAD-822", "The open window of a model that is not there", tongma.ModelUnknown, operator, "/v1/windows/close?model=nothing", ""),
		post("BAD-823", "A window closed for a day that no calendar has", tongma.FieldInvalid, operator, "/v1/windows/close?value_date=2026-02-30", ""),
		post("BAD-824", "A window that is to be settled in no steps at all", tongma.FieldInvalid, operator, "/v1/windows/win_999999/settle?steps=0", ""),
		post("BAD-825", "A dry run that says neither yes nor no", tongma.FieldInvalid, operator, "/v1/windows/win_999999/settle?dry_run=perhaps", ""),
		post("BAD-826", "A participant that takes the next step of a settlement", tongma.NotPermittedHere, north, "/v1/windows/win_000001/waterfall", ""),
		get("BAD-827", "A participant that asks for the messages to the settlement agent", tongma.NotPermittedHere, north, "/v1/windows/win_000001?format=pacs009"),
		get("BAD-828", "The payments of a window that is not there", tongma.WindowUnknown, operator, "/v1/windows/win_999999/payments"),
		get("BAD-829", "A participant that asks what happens if another fails", tongma.NotPermittedHere, north, "/v1/windows/win_000001/stress"),
		get("BAD-831", "A participant that has another's position explained", tongma.NotPermittedHere, north, "/v1/positions/"+tongbao+"/CNY/explain"),
		get("BAD-832", "A position in a currency that ISO 4217 does not have", tongma.CurrencyUnknown, operator, "/v1/positions/"+tongbao+"/ZZZ/explain"),
		post("BAD-833", "A participant that says what the settlement agent did", tongma.NotPermittedHere, north, "/v1/windows/win_000001/instructions/none/confirm", `{"evidence":"seen"}`),
		post("BAD-834", "The word of the only person there is on what the settlement agent did", tongma.NotPermittedHere, operator, "/v1/windows/win_000001/instructions/none/confirm", `{"evidence":"seen"}`),
		post("BAD-835", "A word on an instruction that is none of the three", tongma.OperationUnknown, operator, "/v1/windows/win_000001/instructions/none/forget", `{"evidence":"seen"}`),
		get("BAD-836", "A participant that asks how the switch stands", tongma.NotPermittedHere, north, "/v1/status"),
	}
}

// badPapers are those about files to be reconciled, breaks and disputes.
func badPapers() []Case {
	post, get, row := officePost, officeGet, officeRow
	return []Case{
		get("BAD-841", "A participant that reads the breaks of everybody", tongma.NotPermittedHere, north, "/v1/recon/breaks"),
		get("BAD-842", "Breaks of a kind that there is not", tongma.FieldInvalid, operator, "/v1/recon/breaks?kind=gone"),
		post("BAD-843", "The resolution of a break that is not there", tongma.BreakUnknown, operator, "/v1/recon/breaks/brk_00000000000000000000000000000000/resolve", `{"how":"explained","note":"a test"}`),
		row("BAD-844", "A file to be reconciled that is no form", refused(tongma.MessageMalformed).as(http.StatusUnsupportedMediaType), operator, http.MethodPost, "/v1/recon/runs", "{}"),
		httpCase("BAD-845", "A form without an end", refused(tongma.MessageMalformed), func(t *Target, _ Prior) call {
			return call{who: operator, path: "/v1/recon/runs", body: "--x\r\nContent-Disposition: form-data; name=\"agent\"; filename=\"a.xml\"\r\n\r\n<Docu", header: map[string]string{"Content-Type": "multipart/form-data; boundary=x"}}
		}),
		httpCase("BAD-846", "A file of somebody who takes no part", refused(tongma.ParticipantUnknown), func(t *Target, _ Prior) call {
			return call{who: operator, path: "/v1/recon/runs", header: map[string]string{"Content-Type": "multipart/form-data; boundary=x"},
				body: "--x\r\nContent-Disposition: form-data; name=\"from:nobody\"; filename=\"a.csv\"\r\n\r\nx\r\n--x--\r\n"}
		}),
		post("BAD-851", "A dispute raised by the operator, who has no payers", tongma.NotPermittedHere, operator, "/v1/disputes", `{"payment":"pay_00000000000000000000000001","reason":"x"}`),
		httpCase("BAD-852", "A dispute of a payment by the network that was paid", refused(tongma.DisputeTurn), func(t *Target, before Prior) call {
			return call{who: north, path: "/v1/disputes", key: t.key(), body: ask{"payment": before.Payment, "amount": money(1, "CNY"), "reason": "not-received"}.String()}
		}).after(paid),
		httpCase("BAD-853", "A dispute of somebody else's payment", refused(tongma.PaymentUnknown), func(t *Target, before Prior) call {
			return call{who: tongbao, path: "/v1/disputes", key: t.key(), body: ask{"payment": before.Payment, "amount": money(1, "CNY"), "reason": "not-received"}.String()}
		}).after(paid),
		httpCase("BAD-854", "A dispute of more than was paid", refused(tongma.DisputeExceeds), func(t *Target, before Prior) call {
			return call{who: wechat, path: "/v1/disputes", key: t.key(), body: ask{"payment": before.Payment, "amount": money(1251, "CNY"), "reason": "not-received"}.String()}
		}).after(paid),
		httpCase("BAD-855", "A dispute for a reason that the directory does not have", refused(tongma.FieldInvalid), func(t *Target, before Prior) call {
			return call{who: wechat, path: "/v1/disputes", key: t.key(), body: ask{"payment": before.Payment, "amount": money(1, "CNY"), "reason": "weather"}.String()}
		}).after(paid),
		post("BAD-856", "A step of a dispute that is not there", tongma.DisputeUnknown, north, "/v1/disputes/pay_00000000000000000000000001/accept", ""),
		post("BAD-857", "A step that no dispute has", tongma.OperationUnknown, north, "/v1/disputes/pay_00000000000000000000000001/forget", ""),
	}
}
