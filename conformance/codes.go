package conformance

import (
	"fmt"
	"math/big"
	"unicode/utf8"
)

// Outcomes that the sandbox's wallets read in the digits of a payer's code.
const (
	approve        = 1
	decline51      = 51 // not enough funds
	decline54      = 54 // the code has expired
	pendingForever = 76 // the payer never confirms
)

// wechatCode returns the 18 digits of a payer of WeChat Pay.
func (t *Target) wechatCode(outcome int) string {
	return t.payer(fmt.Sprintf("13%02d%014d", outcome, t.number()))
}

// alipayCode returns the 18 digits of a payer of Alipay.
func (t *Target) alipayCode(outcome int) string {
	return t.payer(fmt.Sprintf("28%02d%014d", outcome, t.number()))
}

// unifiedCode returns the 20 digits of the unified format.
func (t *Target) unifiedCode(issuer string, outcome int) string {
	body := fmt.Sprintf("77%s%02d%010d", issuer, outcome, t.number())
	return t.payer(body + checkDigits(body))
}

// checkDigits returns the two digits of ISO 7064 MOD 97-10 behind a number: 98
// less the remainder of the number, followed by two zeros, divided by 97.
func checkDigits(number string) string {
	n, _ := new(big.Int).SetString(number+"00", 10)
	return fmt.Sprintf("%02d", 98-n.Mod(n, big.NewInt(97)).Int64())
}

// turned returns the digits with the last one raised by one.
func turned(digits string) string {
	last := len(digits) - 1
	return digits[:last] + string('0'+(digits[last]-'0'+1)%10)
}

// swapped returns the digits with two unequal neighbours in the wrong order.
func swapped(digits string) string {
	for i := len(digits) - 2; i > 6; i-- {
		if digits[i] != digits[i-1] {
			return digits[:i-1] + string(digits[i]) + string(digits[i-1]) + digits[i+1:]
		}
	}
	return turned(digits)
}

// object is one EMVCo data object: two digits of id, two of length in characters,
// value.
func object(id, value string) string {
	return fmt.Sprintf("%s%02d%s", id, utf8.RuneCountInString(value), value)
}

// sealed appends the checksum object to the objects of a merchant's code.
func sealed(objects string) string {
	objects += "6304"
	return fmt.Sprintf("%s%04X", objects, crc16(objects))
}

// crc16 is CRC-16/IBM-3740: polynomial 1021 hex, start FFFF hex, not reflected.
func crc16(s string) uint16 {
	crc := uint16(0xFFFF)
	for i := range len(s) {
		crc ^= uint16(s[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}

// shop is a merchant's code. What is empty is left out or as usual.
type shop struct {
	account  string // object 26 to 51; "": the unified template of north's SHOP88
	currency string // three digits; "": 156
	amount   string
	country  string // "": CN
	extra    string // objects in front of 58
}

func unified(acquirer, merchant string) string {
	value := object("00", "tongma")
	if acquirer != "" {
		value += object("01", acquirer)
	}
	return object("26", value+object("02", merchant))
}

func (s shop) objects() string {
	or := func(s, usual string) string {
		if s == "" {
			return usual
		}
		return s
	}
	kind, amount := "11", ""
	if s.amount != "" {
		kind, amount = "12", object("54", s.amount)
	}
	return object("00", "01") + object("01", kind) + or(s.account, unified("2001", "SHOP88")) + object("52", "5812") +
		object("53", or(s.currency, "156")) + amount + s.extra + object("58", or(s.country, "CN")) + object("59", "NOODLE HOUSE") + object("60", "SHANGHAI")
}

func (s shop) code() string { return sealed(s.objects()) }
