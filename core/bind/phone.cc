/* SPDX-License-Identifier: Apache-2.0 */
/* The C shim over libphonenumber. */
#include "bind/phone.h"
#include <phonenumbers/phonenumberutil.h>

using i18n::phonenumbers::PhoneNumber;
using i18n::phonenumbers::PhoneNumberUtil;

extern "C" int phone_parse(const char *text, size_t len, const char *region, struct phone *out) {
    const PhoneNumberUtil *util = PhoneNumberUtil::GetInstance();
    PhoneNumber number;
    std::string e164;

    if (util->Parse(std::string(text, len), region == nullptr ? "ZZ" : region, &number) !=
        PhoneNumberUtil::NO_PARSING_ERROR)
        return -1;
    util->Format(number, PhoneNumberUtil::E164, &e164);
    if (e164.size() >= sizeof out->e164) return -1;
    memcpy(out->e164, e164.c_str(), e164.size() + 1);
    out->possible = util->IsPossibleNumber(number);
    return 0;
}
