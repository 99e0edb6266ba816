"""Makes `orders.csv`: 300 orders of 220 invented consumers, the same bytes every time.

    python -m vault.demo.make_orders

Provinces, cities and districts are real, everything else is made up: mail domains are those of
RFC 2606, ID-card numbers carry the code of a whole province, which no card has, phone numbers a
block of noughts. Six cells are wrong in ways that people get them wrong.
"""

import csv
import datetime as dt
import io
import random
from dataclasses import dataclass
from pathlib import Path

from stdnum import luhn
from stdnum.iso7064 import mod_11_2

PATH = Path(__file__).with_name("orders.csv")
HEADER = (
    "订单编号",
    "买家会员名",
    "总金额",
    "订单状态",
    "买家留言",
    "收货人姓名",
    "收货地址",
    "联系手机",
    "清关身份证号",
    "退款银行卡号",
    "电子邮件",
    "团长",
    "宝贝标题",
    "订单创建时间",
)
ORDERS = 300
CONSUMERS = 220
SEED = 20260301

_PLACES = {
    "北京市": "朝阳区 海淀区 丰台区 通州区",
    "天津市": "河西区 南开区 武清区",
    "上海市": "浦东新区 徐汇区 闵行区 嘉定区",
    "重庆市": "渝中区 江北区 万州区",
    "河北省 石家庄市": "长安区 裕华区",
    "山西省 太原市": "小店区 迎泽区",
    "内蒙古自治区 包头市": "昆都仑区 青山区",
    "内蒙古自治区 锡林郭勒盟": "锡林浩特市",
    "辽宁省 大连市": "中山区 甘井子区",
    "吉林省 延边朝鲜族自治州": "延吉市 珲春市",
    "黑龙江省 哈尔滨市": "南岗区 道里区",
    "江苏省 苏州市": "姑苏区 吴江区 昆山市",
    "江苏省 南京市": "玄武区 江宁区",
    "浙江省 杭州市": "西湖区 余杭区",
    "安徽省 合肥市": "蜀山区 庐阳区",
    "福建省 厦门市": "思明区 集美区",
    "江西省 赣州市": "章贡区 南康区",
    "山东省 青岛市": "市南区 崂山区",
    "河南省 郑州市": "金水区 二七区",
    "湖北省 武汉市": "武昌区 洪山区",
    "湖南省 长沙市": "岳麓区 雨花区",
    "广东省 广州市": "天河区 番禺区",
    "广东省 深圳市": "南山区 龙岗区",
    "广西壮族自治区 南宁市": "青秀区 良庆区",
    "海南省 海口市": "龙华区 美兰区",
    "四川省 成都市": "武侯区 锦江区 简阳市",
    "四川省 凉山彝族自治州": "西昌市 会理市",
    "贵州省 贵阳市": "南明区 云岩区",
    "云南省 大理白族自治州": "大理市 宾川县",
    "西藏自治区 拉萨市": "城关区 堆龙德庆区",
    "陕西省 西安市": "雁塔区 碑林区",
    "甘肃省 兰州市": "城关区 安宁区",
    "青海省 西宁市": "城西区 湟中区",
    "宁夏回族自治区 银川市": "兴庆区 金凤区",
    "新疆维吾尔自治区 乌鲁木齐市": "天山区 米东区",
}
_ROADS = [
    "青禾",
    "望湖",
    "同心",
    "梧桐",
    "银杏",
    "和顺",
    "春江",
    "兴业",
    "松涛",
    "晨光",
    "文汇",
    "桃源",
]
_SURNAMES = [
    *"王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧",
    "欧阳",
    "上官",
    "司马",
    "诸葛",
]
_GIVEN = "安宁远舟禾岚溪言知行若初念一星辰景明书白雨桐清和子墨云帆思齐嘉树"
_ID_REGIONS = [
    "11",
    "12",
    "13",
    "21",
    "31",
    "32",
    "33",
    "34",
    "35",
    "36",
    "37",
    "41",
    "42",
    "43",
    "44",
    "45",
    "50",
    "51",
    "52",
    "53",
    "61",
    "62",
    "65",
]
_MOBILES = ["134", "136", "138", "139", "150", "158", "166", "177", "186", "189", "199"]
_ITEMS = ["五常大米10kg", "山东红富士5kg", "鲜鸡蛋30枚", "纯牛奶12盒", "赣南脐橙5kg", "菜籽油5L"]
_LEADERS = ["阳光苑团长", "春风里团长", "和平社区团长"]
_STATES = ["等待发货", "已发货", "交易成功", "交易关闭"]
_DOMAINS = ["example.com", "example.net", "example.org"]
_FULL_WIDTH = str.maketrans("0123456789", "".join(map(chr, range(0xFF10, 0xFF1A))))

# Which order gets which cell wrong; the rows are told apart by what they hold.
_BAD_CELLS = (
    ("联系手机", "digit short"),
    ("联系手机", "digit short"),
    ("清关身份证号", "check digit"),
    ("清关身份证号", "check digit"),
    ("退款银行卡号", "check digit"),
    ("收货人姓名", "empty"),
)


@dataclass(frozen=True, slots=True)
class _Consumer:
    account: str
    name: str
    phone: str
    address: str
    resident_id: str
    bank_card: str
    email: str


def make_orders() -> bytes:
    """The whole file: UTF-8 with a byte order mark, as a spreadsheet saves it."""
    rng = random.Random(SEED)
    consumers = [_consumer(rng, index) for index in range(CONSUMERS)]
    buyers = consumers + rng.choices(consumers, k=ORDERS - CONSUMERS)
    rng.shuffle(buyers)
    rows = [_row(rng, index, buyer) for index, buyer in enumerate(buyers)]
    spoilt: set[str] = set()
    for column, how in _BAD_CELLS:
        fit = [row for row in rows if row[column] and row["订单编号"] not in spoilt]
        row = rng.choice(fit)
        spoilt.add(row["订单编号"])
        row[column] = _spoil(row[column], how)
    text = io.StringIO()
    writer = csv.DictWriter(text, HEADER, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("utf-8-sig")


def _consumer(rng: random.Random, index: int) -> _Consumer:
    name = rng.choice(_SURNAMES) + "".join(rng.sample(_GIVEN, rng.choice((1, 2, 2))))
    account = (
        f"{rng.choice(('qing', 'lan', 'mu', 'xiao', 'he', 'yun'))}{rng.randrange(100)}_{index:03}"
    )
    born = dt.date(1955, 1, 1) + dt.timedelta(days=rng.randrange(18_000))
    identity = f"{rng.choice(_ID_REGIONS)}0000{born:%Y%m%d}{rng.randrange(1, 1000):03}"
    card = f"620000{rng.randrange(10**12):012}"
    return _Consumer(
        account=account,
        name=name,
        phone=f"{rng.choice(_MOBILES)}0000{rng.randrange(10_000):04}",
        address=_address(rng),
        resident_id=identity + mod_11_2.calc_check_digit(identity),
        bank_card=card + luhn.calc_check_digit(card),
        email=f"{account}@{rng.choice(_DOMAINS)}",
    )


def _address(rng: random.Random) -> str:
    place = rng.choice(list(_PLACES))
    parts = [*place.split(), rng.choice(_PLACES[place].split())]
    blank = rng.choice(("", " "))
    street = (
        f"{rng.choice(_ROADS)}{rng.choice(('路', '街', '大道'))}{rng.randrange(1, 900)}号"
        f"{rng.randrange(1, 20)}幢{rng.randrange(1, 7)}单元{rng.randrange(101, 2808)}室"
    )
    return blank.join(parts) + blank + street


def _row(rng: random.Random, index: int, buyer: _Consumer) -> dict[str, str]:
    created = dt.datetime(2026, 3, 1, tzinfo=dt.UTC) + dt.timedelta(minutes=37 * index)
    messages = ("", "", "放门口", f"请送到{buyer.name}", f"到了打{buyer.phone}")
    cells = (
        f"2026030{index:05}",
        buyer.account,
        f"{rng.randrange(2000, 60_000) / 100:.2f}",
        rng.choice(_STATES),
        rng.choice(messages),
        buyer.name,
        buyer.address,
        _as_typed(rng, buyer.phone),
        buyer.resident_id if rng.random() < 0.5 else "",  # noqa: PLR2004 - customs: half of them
        buyer.bank_card if rng.random() < 0.4 else "",  # noqa: PLR2004 - refunds: fewer
        buyer.email,
        rng.choice(_LEADERS),
        rng.choice(_ITEMS),
        f"{created:%Y-%m-%d %H:%M:%S}",
    )
    return dict(zip(HEADER, cells, strict=True))


def _as_typed(rng: random.Random, phone: str) -> str:
    a, b, c = phone[:3], phone[3:7], phone[7:]
    forms = (
        f"+86 {phone}",
        f"86-{phone}",
        f"{a} {b} {c}",
        f"{a}-{b}-{c}",
        phone.translate(_FULL_WIDTH),
    )
    return rng.choice((phone,) * 12 + forms)


def _spoil(cell: str, how: str) -> str:
    if how == "empty":
        return ""
    if how == "digit short":
        return cell[:-1]
    # The digit before the check digit, mistyped by one.
    return f"{cell[:-2]}{(int(cell[-2]) + 1) % 10}{cell[-1]}"


if __name__ == "__main__":
    PATH.write_bytes(make_orders())
