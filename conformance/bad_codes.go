package conformance

import (
	"strings"

	"github.com/tongma/tongma"
)

// badCodes are barcodes that nobody may be paid by. The merchants' codes are
// scanned by a wallet, the payers' codes at a till.
func badCodes() []Case {
	merchant := func(id, title, code string, r tongma.Reason) Case {
		return codeCase(id, title, shown{code: fixed(code), transfer: true}, declined(r))
	}
	payer := func(id, title, code string, r tongma.Reason) Case {
		return codeCase(id, title, shown{code: fixed(code)}, declined(r))
	}
	good := shop{}.code()
	qris := shop{account: object("26", object("00", "ID.CO.QRIS.WWW")+object("01", "936000140000000012")), currency: "360", country: "ID"}.code()
	return append([]Case{
		merchant("BAD-001", "A merchant's code whose checksum is wrong", good[:len(good)-1]+other(good[len(good)-1:]), tongma.CodeChecksum),
		merchant("BAD-002", "A merchant's code in which the shop's number was changed, the checksum kept", strings.Replace(good, "SHOP88", "SHOP89", 1), tongma.CodeChecksum),
		merchant("BAD-003", "A merchant's code that ends in the middle of a field", good[:40], tongma.CodeMalformed),
		merchant("BAD-004", "A merchant's code in which a length passes the end, with a right checksum", sealed(strings.Replace(shop{}.objects(), "6008SHANGHAI", "6099SHANGHAI", 1)), tongma.CodeMalformed),
		merchant("BAD-005", "A merchant's code that names two currencies", shop{extra: object("53", "840")}.code(), tongma.CodeMalformed),
		merchant("BAD-006", "A merchant's code with junk behind its checksum", good+"0000", tongma.CodeMalformed),
		merchant("BAD-007", "A merchant's code with letters where a length is due", sealed(strings.Replace(shop{}.objects(), "6008", "60x8", 1)), tongma.CodeMalformed),
		merchant("BAD-008", "A merchant's code without a checksum", shop{}.objects(), tongma.CodeMalformed),
		merchant("BAD-009", "A link to a host that only begins like the wallet's", "https://qr.alipay.com.example.net/bax01234567890abcdef", tongma.IssuerUnknown),
		merchant("BAD-010", "A link with the wallet's host as a user name in front of another host", "https://qr.alipay.com@example.net/bax01234567890abcdef", tongma.CodeMalformed),
		merchant("BAD-011", "A link to the wallet's host spelt with a Cyrillic letter", "https://qr.\u0430lipay.com/bax01234567890abcdef", tongma.CodeMalformed),
		merchant("BAD-012", "A link to the Punycode of a look-alike host", "https://qr.xn--lipay-3ve.com/bax01234567890abcdef", tongma.IssuerUnknown),
		merchant("BAD-013", "A link to the wallet's host without encryption", "http://qr.alipay.com/bax01234567890abcdef", tongma.CodeMalformed),
		merchant("BAD-014", "A link to another port of the wallet's host", "https://qr.alipay.com:8443/bax01234567890abcdef", tongma.CodeMalformed),
		merchant("BAD-015", "A wallet's app link that wraps a link to a stranger", "alipays://platformapi/startapp?qrcode=https%3A%2F%2Fexample.net%2Fbax01234567890abcdef", tongma.CodeMalformed),
		merchant("BAD-016", "The code of a Swiss QR bill", "SPC\r\n0200\r\n1\r\nCH4431999123000889012\r\nS\r\nMuster AG\r\n", tongma.CodeNotPayable),
		merchant("BAD-017", "A GS1 Digital Link on a product", "https://id.example.com/01/09506000134352/21/12345", tongma.CodeNotPayable),
		merchant("BAD-018", "The bar code of a Thai bill", "|099400015950100\r123456789012\r670429\r3520", tongma.CodeNotPayable),
		merchant("BAD-019", "A merchant's code of an acquirer that nobody is", shop{account: unified("9999", "SHOP88")}.code(), tongma.ParticipantUnknown),
		merchant("BAD-020", "A merchant's code of the unified format that names no acquirer", shop{account: unified("", "SHOP88")}.code(), tongma.CodeMalformed),
		codeCase("BAD-021", "A merchant's code of a scheme that takes no part", shown{code: fixed(qris), transfer: true, amount: money(1250000, "IDR")}, declined(tongma.IssuerUnknown)),
		merchant("BAD-022", "A merchant's code in a currency that ISO 4217 does not have", shop{currency: "999"}.code(), tongma.CurrencyUnknown),
		merchant("BAD-023", "A merchant's code for 12.505 yuan, which have two decimals", shop{amount: "12.505"}.code(), tongma.AmountDecimals),
		merchant("BAD-024", "A merchant's code whose amount is written with a comma", shop{amount: "12,50"}.code(), tongma.AmountInvalid),
		merchant("BAD-025", "A payer's code scanned as if it were a shop's", "130100000000000001", tongma.CodeWrongSide),
		payer("BAD-026", "A shop's code shown at the till as if it were a payer's", good, tongma.CodeWrongSide),
		payer("BAD-027", "Digits of Alipay's prefix, but only fifteen of them", "280000000000001", tongma.IssuerUnknown),
		payer("BAD-028", "Digits of Alipay's prefix, but twenty-five of them", "2800000000000000000000001", tongma.IssuerUnknown),
		payer("BAD-029", "Digits of a prefix that nobody issues", "990000000000000001", tongma.IssuerUnknown),
		payer("BAD-030", "Digits of a wallet that takes no part", "0100000000000000001", tongma.IssuerUnknown),
		payer("BAD-031", "A unified code whose issuer's number nobody has", unifiedOf("9999"), tongma.IssuerUnknown),
		payer("BAD-032", "A unified code of a participant that issues none", unifiedOf("2001"), tongma.OperationUnknown),
		payer("BAD-033", "A unified code with a wrong check digit", turned(unifiedOf("1001")), tongma.CodeChecksum),
		payer("BAD-034", "A unified code with two digits swapped", swapped(unifiedOf("1001")), tongma.CodeChecksum),
		payer("BAD-035", "A unified code in the second spelling of its check digits, 00 for 97", "77000000700000000000", tongma.CodeChecksum),
		payer("BAD-036", "A payer's rich code whose Base64 breaks off", "hQVDUFYwMWEaTwigAAAAVVVVVw8SNFZ4kBI0WNGRIgESN", tongma.CodeMalformed),
		payer("BAD-037", "A payer's rich code in a second spelling of the same Base64", "hQVDUFYwMWEaTwegAAAAVVVVVw8SNFZ4kBI0WNGRIgESNF9=", tongma.CodeMalformed),
		payer("BAD-038", "Words instead of a code", "please pay me", tongma.CodeUnreadable),
		codeCase("BAD-039", "A unified code in full-width digits", shown{code: fixed("\uff17\uff17\uff10\uff10\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19\uff10\uff11\uff12\uff13\uff16\uff18"), noISO: true}, declined(tongma.CodeUnreadable)),
	}, badAmountsInCodes()...)
}

func badAmountsInCodes() []Case {
	yen := shop{account: unified("2001", "SHOP88"), currency: "392", amount: "12.50", country: "JP"}.code()
	set := shop{amount: "12.50"}.code()
	return []Case{
		codeCase("BAD-040", "A merchant's code for 12.50 yen, which have no decimals", shown{code: fixed(yen), transfer: true, amount: money(12, "JPY")}, declined(tongma.AmountDecimals)),
		codeCase("BAD-041", "A code that fixes 12.50 yuan, paid with 12.49", shown{code: fixed(set), transfer: true, amount: money(1249, "CNY")}, declined(tongma.AmountMismatch)),
		codeCase("BAD-042", "A code that fixes 12.50 yuan, paid with 12.50 Hong Kong dollars", shown{code: fixed(set), transfer: true, amount: money(1250, "HKD")}, declined(tongma.CurrencyMismatch)),
	}
}

// other returns another hexadecimal digit.
func other(digit string) string {
	if digit == "0" {
		return "1"
	}
	return "0"
}

// unifiedOf returns a unified code of an issuer that no wallet has given out.
func unifiedOf(issuer string) string {
	body := "77" + issuer + "010000000042"
	return body + checkDigits(body)
}

// badPayments are codes that are in order, and payments that are not.
func badPayments() []Case {
	wechatPay := func(outcome int) func(*Target, Prior) string {
		return fresh(func(t *Target) string { return t.wechatCode(outcome) })
	}
	alipayPay := fresh(func(t *Target) string { return t.alipayCode(approve) })
	promptpay := shop{account: object("29", object("00", "A000000677010111")+object("01", "0066812345678")), currency: "764", country: "TH"}.code()
	return []Case{
		codeCase("BAD-101", "The wallet says that the code has expired", shown{code: wechatPay(decline54)}, declined(tongma.IssuerCodeExpired)),
		codeCase("BAD-102", "The wallet says that the payer's funds are too small", shown{code: wechatPay(decline51)}, declined(tongma.InsufficientFunds)),
		codeCase("BAD-103", "A unified code whose wallet says that it has expired", shown{code: fresh(func(t *Target) string { return t.unifiedCode("1001", decline54) })}, declined(tongma.IssuerCodeExpired)),
		codeCase("BAD-104", "A payer's code that has paid before", shown{code: again}, declined(tongma.CodeSpent)).after(paid),
		codeCase("BAD-105", "A payer's code that was declined before", shown{code: again}, declined(tongma.CodeSpent)).after(declinedBefore),
		codeCase("BAD-106", "A payer's code whose payer is still confirming another payment", shown{code: again}, declined(tongma.CodeSpent)).after(pendingBefore),
		codeCase("BAD-107", "A payment over the net debit cap of the payer's network", shown{code: alipayPay, amount: money(600_000_000, "HKD")}, declined(tongma.OverCap)),
		codeCase("BAD-108", "A payment over the scheme's limit for one payment", shown{code: wechatPay(approve), amount: money(5_000_001, "CNY")}, declined(tongma.OverSchemeLimit)),
		codeCase("BAD-109", "A payment in a currency that the scheme does not serve", shown{code: wechatPay(approve), amount: money(12_500, "KWD")}, declined(tongma.CurrencyNotServed)),
		codeCase("BAD-110", "A payment in a country that the scheme does not serve", shown{code: wechatPay(approve), country: "BR"}, declined(tongma.CountryMismatch)),
		codeCase("BAD-111", "A payment by a wallet that has no account in the currency", shown{code: fixed(shop{currency: "704", country: "VN"}.code()), transfer: true, who: thainet, amount: money(50_000, "VND")}, declined(tongma.NoAccount)),
		codeCase("BAD-112", "A shop's code of a scheme that the wallet's operator does not accept", shown{code: fixed(promptpay), transfer: true, who: harbour, amount: money(1250, "THB")}, declined(tongma.SchemeNotAccepted)),
		codeCase("BAD-113", "A transfer asked for by an acquirer that has no payers", shown{code: fixed(shop{}.code()), transfer: true, who: north}, declined(tongma.NotPermittedHere)),
	}
}
