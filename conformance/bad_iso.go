package conformance

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/tongma/tongma"
)

// message makes what is sent on a link that north has signed on: everything behind
// the length.
type message func(t *Target, before Prior) []byte

// isoCase is a row of what is answered by name, after which the link stays.
func isoCase(id, title string, r tongma.Reason, msg message) Case {
	return Case{ID: id, Door: DoorISO8583, Title: title, Want: refused(r).over(DoorISO8583), Do: func(ctx context.Context, t *Target, before Prior) (Observation, error) {
		l, err := t.isoDial(ctx)
		if err != nil {
			return Observation{}, err
		}
		defer l.close()
		if err := l.signOn(); err != nil {
			return Observation{}, err
		}
		l.send(frame(msg(t, before)))
		_, reply, err := l.read()
		if err != nil {
			return Observation{}, err
		}
		o, err := observeISO(reply)
		if err == nil {
			err = l.echo()
		}
		return o, err
	}}
}

// isoRaw is a row of what ends the link without an answer. It begins on a link
// that is signed on, and brings the length itself.
func isoRaw(id, title string, raw message) Case {
	return Case{ID: id, Door: DoorISO8583, Title: title, Want: silently(Closed), Do: func(ctx context.Context, t *Target, before Prior) (Observation, error) {
		l, err := t.isoDial(ctx)
		if err != nil {
			return Observation{}, err
		}
		defer l.close()
		if err := l.signOn(); err != nil {
			return Observation{}, err
		}
		l.send(raw(t, before))
		switch _, reply, err := l.read(); {
		case errors.Is(err, errHungUp):
			return silently(Closed), nil
		case err != nil:
			return Observation{}, err
		default:
			return observeISO(reply)
		}
	}}
}

// isoFields is a row in which single fields of a good purchase are spoilt.
func isoFields(id, title string, r tongma.Reason, changes fields) Case {
	return isoCase(id, title, r, func(t *Target, _ Prior) []byte {
		return t.purchase(t.wechatCode(approve)).with(changes).pack("0200")
	})
}

// isoPaid prepares a purchase over the link, whose trace is the key.
func isoPaid(f *fields) func(context.Context, *Target) (Prior, error) {
	return func(ctx context.Context, t *Target) (Prior, error) {
		l, err := t.isoDial(ctx)
		if err != nil {
			return Prior{}, err
		}
		defer l.close()
		if err := l.signOn(); err != nil {
			return Prior{}, err
		}
		*f = t.purchase(t.wechatCode(approve))
		reply, err := l.ask("0200", *f)
		if err == nil && reply[39] != "00" {
			err = fmt.Errorf("a good purchase is answered with %s, %s", reply[39], reply[44])
		}
		return Prior{}, err
	}
}

// original is DE90 of a purchase.
func original(f fields, de32 string) string {
	return fmt.Sprintf("0200%s%s%011s%011d", f[11], f[7], de32, 0)
}

// noise is 64 KiB drawn by chance, the same in every run.
func noise(*Target, Prior) []byte {
	random := rand.New(rand.NewPCG(8583, 64))
	out := make([]byte, 0, 64<<10)
	for len(out) < cap(out) {
		out = binary.BigEndian.AppendUint64(out, random.Uint64())
	}
	return out
}

// badLinks are links that do not keep to the rules of signing on.
func badLinks() []Case {
	row := func(id, title string, r tongma.Reason, talk func(t *Target, l *isoLink) (fields, error)) Case {
		return Case{ID: id, Door: DoorISO8583, Title: title, Want: refused(r).over(DoorISO8583), Do: func(ctx context.Context, t *Target, _ Prior) (Observation, error) {
			l, err := t.isoDial(ctx)
			if err != nil {
				return Observation{}, err
			}
			defer l.close()
			reply, err := talk(t, l)
			if err != nil {
				return Observation{}, err
			}
			return observeISO(reply)
		}}
	}
	signedOn := func(then func(t *Target, l *isoLink) (fields, error)) func(*Target, *isoLink) (fields, error) {
		return func(t *Target, l *isoLink) (fields, error) {
			if err := l.signOn(); err != nil {
				return nil, err
			}
			return then(t, l)
		}
	}
	return []Case{
		row("BAD-601", "A purchase on a link that has not signed on", tongma.NotSignedOn, func(t *Target, l *isoLink) (fields, error) {
			return l.ask("0200", t.purchase(t.wechatCode(approve)))
		}),
		row("BAD-602", "A purchase on a link that has signed off", tongma.NotSignedOn, signedOn(func(t *Target, l *isoLink) (fields, error) {
			if reply, err := l.ask("0800", t.trace().with(fields{70: "002"})); err != nil || reply[39] != "00" {
				return nil, fmt.Errorf("sign-off: %s: %w", reply[39], err)
			}
			return l.ask("0200", t.purchase(t.wechatCode(approve)))
		})),
		row("BAD-603", "A sign-on by an acquirer's number that nobody has", tongma.LinkUnknown, func(t *Target, l *isoLink) (fields, error) {
			return l.ask("0800", t.trace().with(fields{32: "00099999", 70: "001"}))
		}),
		row("BAD-604", "A purchase in the name of another acquirer than the link's", tongma.LinkUnknown, signedOn(func(t *Target, l *isoLink) (fields, error) {
			return l.ask("0200", t.purchase(t.wechatCode(approve)).with(fields{32: harbourDE32}))
		})),
		row("BAD-605", "A second sign-on, by another acquirer, on the same link", tongma.LinkUnknown, signedOn(func(t *Target, l *isoLink) (fields, error) {
			return l.ask("0800", t.trace().with(fields{32: harbourDE32, 70: "001"}))
		})),
		row("BAD-606", "A network message that the dialect does not have", tongma.OperationUnknown, signedOn(func(t *Target, l *isoLink) (fields, error) {
			return l.ask("0800", t.trace().with(fields{70: "161"}))
		})),
	}
}

// badFrames are bytes after which a link cannot be trusted, or which name nobody
// to answer.
func badFrames() []Case {
	good := func(t *Target) []byte { return t.purchase(t.wechatCode(approve)).pack("0200") }
	row := func(id, title string, spoil func(msg []byte) []byte) Case {
		return isoRaw(id, title, func(t *Target, _ Prior) []byte { return frame(spoil(good(t))) })
	}
	bit := func(field int) func([]byte) []byte {
		return func(msg []byte) []byte {
			msg[4+(field-1)/8] |= 0x80 >> ((field - 1) % 8)
			return msg
		}
	}
	return []Case{
		isoRaw("BAD-611", "Half a frame, and then silence", func(t *Target, _ Prior) []byte {
			whole := frame(good(t))
			return whole[:len(whole)/2]
		}),
		isoRaw("BAD-612", "Sixty-four kilobytes of noise", noise),
		isoRaw("BAD-613", "A frame of more bytes than a message may have", func(t *Target, _ Prior) []byte { return append([]byte{0xff, 0xff}, good(t)...) }),
		isoRaw("BAD-614", "A frame of fewer bytes than a message must have", func(t *Target, _ Prior) []byte { return append([]byte{0, 3}, good(t)...) }),
		isoRaw("BAD-615", "An HTTP request sent to the ISO 8583 door", func(*Target, Prior) []byte {
			return []byte("POST /v1/payments HTTP/1.1\r\nHost: till\r\nContent-Length: 2\r\n\r\n{}")
		}),
		row("BAD-616", "Letters where the message type is due", func(msg []byte) []byte { return append([]byte("02x0"), msg[4:]...) }),
		row("BAD-617", "A bitmap that names a PIN block, which the dialect leaves out on purpose", bit(52)),
		row("BAD-618", "A bitmap that announces a second one, and none comes", func(msg []byte) []byte { return append(bit(1)(msg[:12]), 0) }),
		row("BAD-619", "Letters where the amount is due", func(msg []byte) []byte {
			copy(msg[12+6:], "00000000TEN.")
			return msg
		}),
		row("BAD-620", "A purchase in which every field is announced", func(msg []byte) []byte {
			for i := 4; i < 12; i++ {
				msg[i] = 0xff
			}
			return msg
		}),
	}
}

// badMessages are whole frames whose content is wrong: they are refused by name,
// and the link stays.
func badMessages() []Case {
	var before fields
	refund := fields{3: "200000", 48: ""}
	return []Case{
		isoCase("BAD-631", "Bytes behind the last field", tongma.TrailingBytes, func(t *Target, _ Prior) []byte {
			return append(t.purchase(t.wechatCode(approve)).pack("0200"), "JUNK"...)
		}),
		isoCase("BAD-632", "A message that is cut short in its last field", tongma.FieldUnreadable, func(t *Target, _ Prior) []byte {
			msg := t.purchase(t.wechatCode(approve)).pack("0200")
			return msg[:len(msg)-1]
		}),
		isoCase("BAD-633", "A message type that is not served", tongma.MTIUnknown, func(t *Target, _ Prior) []byte {
			return t.purchase(t.wechatCode(approve)).pack("0300")
		}),
		isoCase("BAD-634", "A message of the 1993 version of the standard", tongma.MTIUnknown, func(t *Target, _ Prior) []byte {
			return t.purchase(t.wechatCode(approve)).pack("1200")
		}),
		isoFields("BAD-635", "A purchase without a trace number", tongma.FieldMissing, fields{11: ""}),
		isoFields("BAD-636", "A purchase without the time of its transmission", tongma.FieldMissing, fields{7: ""}),
		isoFields("BAD-637", "A purchase without an acquirer", tongma.FieldMissing, fields{32: ""}),
		isoFields("BAD-638", "A purchase without an amount", tongma.FieldMissing, fields{4: ""}),
		isoFields("BAD-639", "A purchase of nothing", tongma.AmountInvalid, fields{4: "000000000000"}),
		isoFields("BAD-640", "A purchase in a currency that ISO 4217 does not have", tongma.CurrencyUnknown, fields{49: "999"}),
		isoFields("BAD-641", "Letters where the currency is due", tongma.FieldUnreadable, fields{49: "CNY"}),
		isoFields("BAD-642", "A kind of purchase that is not offered: cash", tongma.OperationUnknown, fields{3: "010000"}),
		isoFields("BAD-643", "A purchase without a code", tongma.FieldMissing, fields{48: ""}),
		isoFields("BAD-644", "A code whose length passes the end of its field", tongma.FieldUnreadable, fields{48: "01099130100000000000001"}),
		isoFields("BAD-645", "A code field with a tag that the dialect does not have", tongma.FieldUnknown, fields{48: tag("01", "130100000000000001") + tag("09", "x")}),
		isoFields("BAD-646", "A code field with two codes", tongma.FieldInvalid, fields{48: tag("01", "130100000000000001") + tag("01", "130100000000000002")}),
		isoFields("BAD-647", "A purchase that says the merchant showed the code", tongma.CodeWrongSide, fields{48: tag("01", "130100000000000001") + tag("05", "M")}),
		isoFields("BAD-648", "A scheme's id with letters that no id may have", tongma.FieldInvalid, fields{48: tag("01", "130100000000000001") + tag("02", "WeChat Pay")}),
		isoFields("BAD-649", "A refund that names no purchase", tongma.FieldMissing, refund),
		isoCase("BAD-650", "A refund of another acquirer's purchase", tongma.FieldInvalid, func(t *Target, _ Prior) []byte {
			f := t.purchase("")
			return f.with(refund).with(fields{90: original(t.trace(), harbourDE32)}).pack("0200")
		}),
		isoCase("BAD-651", "A reversal of a part of a purchase", tongma.FieldInvalid, func(t *Target, _ Prior) []byte {
			return t.purchase("").with(fields{48: "", 39: "17", 90: original(t.trace(), northDE32), 95: "000000000100000000000000C00000000C00000000"}).pack("0400")
		}),
		isoCase("BAD-652", "A reversal that names itself", tongma.FieldInvalid, func(t *Target, _ Prior) []byte {
			f := t.purchase("").with(fields{48: "", 39: "17"})
			return f.with(fields{90: original(f, northDE32)}).pack("0400")
		}),
		isoCase("BAD-653", "A trace number used again with another amount", tongma.ExistsOtherAmount, func(*Target, Prior) []byte {
			return before.with(fields{4: "000000001300"}).pack("0200")
		}).after(isoPaid(&before)),
		isoCase("BAD-654", "A trace number used again with another code", tongma.ExistsOtherCode, func(t *Target, _ Prior) []byte {
			return before.with(fields{48: tag("01", t.wechatCode(approve))}).pack("0200")
		}).after(isoPaid(&before)),
		isoCase("BAD-655", "A repeat marked as such, of which the amount was changed", tongma.ExistsOtherAmount, func(*Target, Prior) []byte {
			return before.with(fields{4: "000000000001"}).pack("0201")
		}).after(isoPaid(&before)),
		isoCase("BAD-656", "A refund over the link of more than was paid", tongma.RefundExceeds, func(t *Target, _ Prior) []byte {
			return t.purchase("").with(refund).with(fields{4: "000000001251", 90: original(before, northDE32)}).pack("0200")
		}).after(isoPaid(&before)),
		isoCase("BAD-657", "An inquiry about a purchase that is not there", tongma.PaymentUnknown, func(t *Target, _ Prior) []byte {
			return t.trace().with(fields{3: "300000", 90: original(t.trace(), northDE32)}).pack("0100")
		}),
		isoSilent(),
	}
}

// isoSilent is an answer that nobody asked for: it is never answered itself.
func isoSilent() Case {
	return Case{ID: "BAD-658", Door: DoorISO8583, Title: "An answer that nobody has asked for", Want: silently(Unanswered), Do: func(ctx context.Context, t *Target, _ Prior) (Observation, error) {
		l, err := t.isoDial(ctx)
		if err != nil {
			return Observation{}, err
		}
		defer l.close()
		if err := l.signOn(); err != nil {
			return Observation{}, err
		}
		l.send(frame(t.purchase(t.wechatCode(approve)).with(fields{39: "00"}).pack("0210")))
		return silently(Unanswered), l.echo() // a reply to the 0210 would come first, and not be one to the echo
	}}
}
