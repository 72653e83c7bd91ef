// The library as a person uses it: what is here, getting more, stopping and going on, removing.
#include <QCheckBox>
#include <QDialog>
#include <QKeyEvent>
#include <QLabel>
#include <QLineEdit>
#include <QMessageBox>
#include <QPlainTextEdit>
#include <QProgressBar>
#include <QPushButton>
#include <QTimer>
#include <QToolButton>
#include <QTreeWidget>
#include <fstream>
#include <iterator>

#include "app/library/installed_models.h"
#include "app/window/get_model_dialog.h"
#include "app/window/library_delegate.h"
#include "tests/app/library/loopback_server.h"
#include "tests/app/window/window_fixture.h"

namespace orrery {
namespace {

using testing::application;
using testing::model_path;
using testing::run_events_for;
using testing::wait_until;
using Reply = LoopbackServer::Reply;
using Request = LoopbackServer::Request;

class LibraryPanelTest : public testing::WindowTest {
 protected:
  void SetUp() override {
    WindowTest::SetUp();
    setenv("no_proxy", "*", 1);
    std::ifstream file(model_path("tiny-text.q8_0.gguf"), std::ios::binary);
    model_.assign(std::istreambuf_iterator<char>(file), {});
    std::filesystem::create_directories(models());
  }
  void TearDown() override {
    server_.stop();
    window_.reset();
    WindowTest::TearDown();
  }
  std::filesystem::path models() const { return folder_ / "models"; }
  void install(const std::string& name) const { std::ofstream(models() / name, std::ios::binary) << model_; }

  void open() {
    window_ = std::make_unique<MainWindow>(WindowOptions{.file = {}, .prompt = {}, .generate = false, .threads = 1});
    window_->show();
    run_events_for(50);
  }
  template <typename T>
  T* child(const char* name) const {
    T* found = window_->findChild<T*>(name);
    EXPECT_NE(found, nullptr) << name;
    return found;
  }
  QTreeWidgetItem* row(const QString& title) const {
    const auto found = child<QTreeWidget>("library")->findItems(title, Qt::MatchExactly | Qt::MatchRecursive);
    return found.isEmpty() ? nullptr : found.front();
  }
  void activate(const QString& title) const {
    QTreeWidgetItem* item = row(title);
    ASSERT_NE(item, nullptr) << title.toStdString();
    Q_EMIT child<QTreeWidget>("library")->itemActivated(item, 0);
  }
  GetModelDialog* dialog() const { return window_->findChild<GetModelDialog*>(); }
  bool wait_for_no_dialog() const {
    return wait_until([this] { return dialog() == nullptr; });
  }

  // Pastes what is wanted into the dialog and presses Return, then Get.
  void get(const std::string& what) {
    child<QPushButton>("library_get")->click();
    ASSERT_NE(dialog(), nullptr);
    child<QLineEdit>("get_what")->setText(QString::fromStdString(what));
    QKeyEvent enter(QEvent::KeyPress, Qt::Key_Return, Qt::NoModifier);
    QApplication::sendEvent(child<QLineEdit>("get_what"), &enter);
    ASSERT_TRUE(wait_until([this] { return child<QPushButton>("get_button")->isEnabled(); }))
        << child<QLabel>("get_error")->text().toStdString();
    child<QPushButton>("get_button")->click();
  }

  std::string model_;
  LoopbackServer server_;
  std::unique_ptr<MainWindow> window_;
};

TEST_F(LibraryPanelTest, ShowsWhatIsHereAndWhatCanBeHad) {
  install("mine.gguf");
  install("SmolLM2-135M-Instruct.Q4_1.gguf");
  open();
  ASSERT_NE(row("mine"), nullptr);
  EXPECT_EQ(row("mine")->data(0, LibraryDelegate::kDetailRole).toString(), size_text(model_.size()));
  EXPECT_EQ(row("mine")->data(0, LibraryDelegate::kNoteRole).toString(), "licence unknown");
  ASSERT_NE(row("smollm2-135m"), nullptr);
  EXPECT_EQ(row("smollm2-135m")->data(0, LibraryDelegate::kNoteRole).toString(), "Apache-2.0");
  QTreeWidgetItem* gemma = row("Get Gemma 3 270M (Q4_K_M)");
  ASSERT_NE(gemma, nullptr);
  EXPECT_EQ(gemma->data(0, LibraryDelegate::kDetailRole).toString(), "253.1 MB");
  EXPECT_EQ(gemma->data(0, LibraryDelegate::kNoteRole).toString(), "Gemma Terms of Use");
}

TEST_F(LibraryPanelTest, ShowsTheLicenceBeforeAnythingIsFetched) {
  open();
  activate("Get Gemma 3 270M (Q4_K_M)");
  ASSERT_NE(dialog(), nullptr);
  auto* accept = child<QCheckBox>("get_accept");
  auto* get_button = child<QPushButton>("get_button");
  ASSERT_TRUE(wait_until([&] { return accept->isVisible(); }));
  EXPECT_TRUE(child<QPlainTextEdit>("get_licence")->toPlainText().contains("https://ai.google.dev/gemma/terms"));
  EXPECT_FALSE(get_button->isEnabled()) << "the terms were not accepted";
  accept->click();
  EXPECT_TRUE(get_button->isEnabled());
  dialog()->reject();
  EXPECT_TRUE(wait_for_no_dialog());
  const auto installed = installed_models(models());
  ASSERT_TRUE(installed);
  EXPECT_EQ(installed->size(), 1U) << "the one that comes with the program";

  activate("Get SmolLM2 135M Instruct (Q4_1)");
  ASSERT_TRUE(wait_until([&] { return child<QPushButton>("get_button")->isEnabled(); })) << "no question is asked";
  EXPECT_FALSE(child<QCheckBox>("get_accept")->isVisible());
  dialog()->reject();
}

TEST_F(LibraryPanelTest, GetsAPastedAddressAndOpensTheModel) {
  server_.serve("/x/pasted.gguf", model_);
  open();
  get(server_.address("/x/pasted.gguf"));
  EXPECT_TRUE(wait_for_no_dialog());
  ASSERT_TRUE(wait_until([this] { return row("pasted") != nullptr; })) << window_->error_text().toStdString();
  EXPECT_FALSE(child<QLabel>("fetch_name")->isVisible());
  EXPECT_TRUE(wait_until([this] { return window_->controller().model() != nullptr; })) << "nothing else was open";
  EXPECT_EQ(window_->error_text(), "");
}

TEST_F(LibraryPanelTest, GetsARepository) {
  setenv("HF_ENDPOINT", server_.address("").c_str(), 1);
  const std::string commit(40, 'c');
  const std::string list = R"({"sha": ")" + commit +
                           R"(", "cardData": {"license": "mit"}, "siblings": [{"rfilename": "only.gguf", "size": )" +
                           std::to_string(model_.size()) + "}]}";
  server_.on("/api/models/lab/net/revision/main", [list](const Request&, Reply& reply) { reply.whole(200, {}, list); });
  server_.serve("/lab/net/resolve/" + commit + "/only.gguf", model_);
  open();
  get("hf:lab/net");
  ASSERT_TRUE(wait_until([this] { return row("only") != nullptr; })) << window_->error_text().toStdString();
  EXPECT_EQ(row("only")->data(0, LibraryDelegate::kNoteRole).toString(), "mit");
  unsetenv("HF_ENDPOINT");
}

TEST_F(LibraryPanelTest, SaysInPlaceWhatCannotBeHad) {
  open();
  child<QPushButton>("library_get")->click();
  ASSERT_NE(dialog(), nullptr);
  dialog()->look_up("no-such-model");
  auto* error = child<QLabel>("get_error");
  ASSERT_TRUE(wait_until([&] { return error->isVisible(); }));
  EXPECT_TRUE(error->text().contains("no-such-model"));
  EXPECT_FALSE(child<QPushButton>("get_button")->isEnabled());
  EXPECT_TRUE(dialog()->isVisible());
  EXPECT_EQ(window_->error_text(), "");
}

TEST_F(LibraryPanelTest, ShowsProgressStopsAndGoesOn) {
  server_.on("/slow.gguf", [this](const Request&, Reply& reply) {
    reply.head(200, {"ETag: \"v1\"", "Content-Length: " + std::to_string(model_.size())});
    reply.send(model_.substr(0, model_.size() / 2));
    reply.stall();
  });
  open();
  get(server_.address("/slow.gguf"));
  auto* bar = child<QProgressBar>("fetch_bar");
  ASSERT_TRUE(wait_until([&] { return bar->isVisible() && bar->maximum() == 1000 && bar->value() >= 490; }));
  EXPECT_EQ(child<QLabel>("fetch_name")->text(), "slow");
  EXPECT_TRUE(child<QLabel>("fetch_detail")->text().contains("of 0.2 MB"));
  EXPECT_EQ(row("Go on: slow"), nullptr) << "it is at it";
  child<QToolButton>("fetch_cancel")->click();
  ASSERT_TRUE(wait_until([this] { return row("Go on: slow") != nullptr; }));
  EXPECT_FALSE(bar->isVisible());
  EXPECT_EQ(window_->error_text(), "") << "to cancel is no error";
  server_.serve("/slow.gguf", model_);
  activate("Go on: slow");
  ASSERT_TRUE(wait_until([this] { return row("slow") != nullptr; })) << window_->error_text().toStdString();
  EXPECT_EQ(server_.requests().back().offset(), model_.size() / 2);
  EXPECT_EQ(row("Go on: slow"), nullptr);
}

TEST_F(LibraryPanelTest, SaysWhyAFetchFailed) {
  server_.on("/gone.gguf", [](const Request&, Reply& reply) { reply.whole(404, {}, ""); });
  open();
  get(server_.address("/gone.gguf"));
  ASSERT_TRUE(wait_until([this] { return !window_->error_text().isEmpty(); }));
  EXPECT_TRUE(window_->error_text().contains("404"));
  EXPECT_FALSE(child<QProgressBar>("fetch_bar")->isVisible());
}

TEST_F(LibraryPanelTest, RemovesAModelAfterAQuestion) {
  install("mine.gguf");
  open();
  auto* tree = child<QTreeWidget>("library");
  tree->setCurrentItem(row("mine"));
  QString asked;
  const auto answer = [&](const char* button) {
    QTimer::singleShot(100, [&, button] {
      auto* box = qobject_cast<QMessageBox*>(QApplication::activeModalWidget());
      ASSERT_NE(box, nullptr);
      asked = box->text() + box->informativeText();
      for (QAbstractButton* one : box->buttons()) {
        if (one->text().remove('&') == QLatin1String(button)) return one->click();
      }
      box->reject();
      ADD_FAILURE() << "there is no button " << button;
    });
    QKeyEvent press(QEvent::KeyPress, Qt::Key_Delete, Qt::NoModifier);
    QApplication::sendEvent(tree, &press);
  };
  answer("Cancel");
  EXPECT_TRUE(std::filesystem::exists(models() / "mine.gguf"));
  EXPECT_TRUE(asked.contains("mine.gguf")) << asked.toStdString();
  EXPECT_TRUE(asked.contains(size_text(model_.size()))) << asked.toStdString();
  answer("Remove");
  EXPECT_FALSE(std::filesystem::exists(models() / "mine.gguf"));
  EXPECT_EQ(row("mine"), nullptr);
}

TEST_F(LibraryPanelTest, CanBeReachedAndUsedByKeys) {
  install("mine.gguf");
  open();
  auto* tree = child<QTreeWidget>("library");
  EXPECT_TRUE(tree->focusPolicy() & Qt::TabFocus);
  EXPECT_TRUE(child<QPushButton>("library_get")->focusPolicy() & Qt::TabFocus);
  EXPECT_TRUE(child<QToolButton>("fetch_cancel")->focusPolicy() & Qt::TabFocus);
  tree->setCurrentItem(row("mine"));
  QKeyEvent enter(QEvent::KeyPress, Qt::Key_Return, Qt::NoModifier);
  QApplication::sendEvent(tree, &enter);
  EXPECT_TRUE(wait_until([this] { return window_->controller().model() != nullptr; }));
}

}  // namespace
}  // namespace orrery
